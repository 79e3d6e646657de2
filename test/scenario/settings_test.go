// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// TestEnforceOff lets everything through for a time, which ends by itself while no
// agent runs.
func TestEnforceOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "tcp", 80)
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}`)
	w.putAs("WorkloadPolicy", "client", workload(`egress: {}, escalation: {rules: [{classes: [Privileges], action: Kill}]}`))
	dial := []string{"dial", "tcp", at(server.IPv4(), 80)}
	w.expect(eperm, client, dial...)
	enforce := func(e rpc.Enforcement) {
		t.Helper()
		if _, err := w.node.Client().SetEnforcement(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	enforce(rpc.Enforcement{Off: true, For: "1h"})
	w.expect(ok, client, dial...)
	w.expect(ok, client, "dial", "tcp", at(server.IPv6(), 80))
	w.flow(server, "a flow that would have been denied", func(f *rpc.Flow) bool { return f.Verdict == "audit-denied" })
	status, err := w.node.Client().Status(t.Context())
	if err != nil || status.Enforcement != "off" || !strings.Contains(strings.Join(status.Problems, " "), "OFF") {
		t.Errorf("status is not loud: %s %q %v", status.Enforcement, status.Problems, err)
	}
	stream := w.stream(client, built.probe, "tcp", at(server.IPv4(), 80), "--wait", "1s")
	enforce(rpc.Enforcement{})
	stream.cut()
	w.expect(eperm, client, dial...)
	enforce(rpc.Enforcement{Off: true, For: "1s"})
	w.kill9()
	w.until("the kernel enforces again", func() bool {
		o, err := endAs(eperm, w.command(client, built.probe, dial...))
		return err == nil && o.status == eperm
	})
}

// configure restarts the agent with a further line of configuration.
func (w *world) configure(line string) {
	w.Helper()
	w.kill9()
	path := w.node.Root + "/further.yaml"
	body := "{apiVersion: sluice.dev/v1alpha1, kind: AgentConfiguration, " + line + "}"
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		w.Fatal(err)
	}
	w.start("--config", path)
}

// TestKeep has established connections outlive a change of rules, and no others.
func TestKeep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	w.configure("establishedConnections: Keep")
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "tcp", 80)
	s := w.stream(client, built.probe, "tcp", at(server.IPv4(), 80))
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}`)
	w.expect(silence, client, "dial", "tcp", at(server.IPv4(), 80))
	time.Sleep(100 * time.Millisecond) // the stream goes on
	s.lossless()
}

// TestSpoofing has a pod bear an address that is not its own, and another's MAC.
func TestSpoofing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "udp", 80)
	w.must(client, "ip", "addr", "add", "10.99.0.1/32", "dev", "eth0")
	w.must(server, "ip", "route", "add", "10.99.0.0/16", "via", client.IPv4().String(), "dev", "eth0")
	from := []string{"packet-send", "eth0", "10.99.0.1:777", at(server.IPv4(), 80)}
	w.expect(silence, client, from...)
	w.putCluster("ClusterWorkloadPolicy", "vip",
		`spec: {podSelector: {matchLabels: {app: client}}, allowedSources: ["10.99.0.0/24"]}`)
	w.expect(ok, client, from...)
	w.removeCluster("ClusterWorkloadPolicy", "vip")
	w.expect(silence, client, from...)
	w.configure("antiSpoofing: Audit")
	w.expect(ok, client, "dial", "udp", at(server.IPv4(), 80))

	w.configure("antiSpoofing: Enforce")
	mac := w.macOf(server)
	w.must(client, "ip", "link", "set", "eth0", "down")
	w.must(client, "ip", "link", "set", "eth0", "address", mac)
	w.must(client, "ip", "link", "set", "eth0", "up")
	w.expect(silence, client, "dial", "udp", at(server.IPv6(), 80))
}
