// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// TestPeerLeaves: an open connection outlives its peer's labels, but not its peer:
// what an address was allowed does not pass to its next owner.
func TestPeerLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "udp", 80)
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}`)
	s := w.stream(client, built.probe, "udp", at(server.IPv4(), 80), "--wait", "1s")
	relabel := func(name, app string) {
		t.Helper()
		content := fmt.Appendf(nil, `{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: %s, uid: %s, labels: {app: %s}}}`,
			name, server.Spec.UID, app)
		if err := w.node.WriteManifest("pod-shop-server.yaml", content); err != nil {
			t.Fatal(err)
		}
	}
	relabel("server", "left")
	w.until("the label has changed", func() bool { return w.state(server).Labels["app"] == "left" })
	w.expect(silence, client, "dial", "udp", at(server.IPv4(), 80)) // a new flow
	s.lossless()
}

// TestPeerLeavesAndRulesChange: what the new rules allow of a peer that has left is
// what they allow of it as it was, to the connections that began then.
func TestPeerLeavesAndRulesChange(t *testing.T) {
	for _, back := range []string{"clientside", "serverside"} {
		t.Run(back, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Config{})
			server, client := w.pod("server"), w.pod("client")
			w.serve(server, "tcp", 80)
			leaves, judge, spec := server, client, `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
				egress: [{to: [{podSelector: {matchLabels: {app: server}}}], ports: [%s]}]}`
			if back == "serverside" {
				leaves, judge, spec = client, server, `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress],
					ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [%s]}]}`
			}
			w.put("NetworkPolicy", fmt.Sprintf(spec, "{port: 80}"))
			kept := w.stream(client, built.probe, "tcp", at(server.IPv4(), 80))
			cut := w.stream(client, built.probe, "tcp", at(server.IPv6(), 80), "--wait", "1s")
			relabel := func(app string) {
				t.Helper()
				content := fmt.Appendf(nil, `{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: %s, uid: %s, labels: {app: %s}}}`,
					leaves.Spec.Name, leaves.Spec.UID, app)
				if err := w.node.WriteManifest("pod-shop-"+leaves.Spec.Name+".yaml", content); err != nil {
					t.Fatal(err)
				}
				w.until("the label has changed", func() bool { return w.state(leaves).Labels["app"] == app })
			}
			relabel("left")
			w.put("NetworkPolicy", fmt.Sprintf(spec, "{port: 80}, {port: 81}"))
			w.expect(silence, client, "dial", "tcp", at(server.IPv4(), 80)) // a new connection
			relabel("gone")
			w.put("NetworkPolicy", fmt.Sprintf(spec, "{port: 80}, {port: 82}"))
			w.expect(silence, client, "dial", "tcp", at(server.IPv4(), 80))
			w.kill9()
			w.start()
			w.put("NetworkPolicy", fmt.Sprintf(spec, "{port: 80}, {port: 83}"))
			w.expect(silence, client, "dial", "tcp", at(server.IPv4(), 80))
			kept.lossless()
			// The rules hold for what it was as for all others.
			w.put("NetworkPolicy", fmt.Sprintf(spec, "{port: 83}"))
			cut.cut()
			w.flow(judge, "a flow that was cut", func(f *rpc.Flow) bool { return f.Reason == "established-recheck" })
		})
	}
}

// elsewhere is a node with a client that may reach pods labelled app=server, and one
// such pod that is not of this node: its address is the node's own.
type elsewhere struct {
	*services
	addr netip.Addr
	to   string // where it echoes UDP
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	s := &elsewhere{services: &services{world: newWorld(t, harness.Config{})}}
	s.client = s.pod("client")
	s.addr = s.gateway()
	s.to = at(s.addr, 80)
	s.serveOnNode("udp", s.to)
	s.is("one", "server")
	s.until("the pod elsewhere is known", func() bool {
		_, err := s.node.Client().Get(t.Context(), "Pod", "shop", "far")
		return err == nil
	})
	s.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}`)
	s.expect(ok, s.client, "dial", "udp", s.to)
	return s
}

// is says in a manifest which pod has the address.
func (s *elsewhere) is(uid, app string) {
	s.Helper()
	content := fmt.Appendf(nil, `{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: far, uid: %s, labels: {app: %s}},
		status: {podIPs: [{ip: %s}]}}`, uid, app, s.addr)
	if err := s.node.WriteManifest("far.yaml", content); err != nil {
		s.Fatal(err)
	}
}

// TestAddressIsReused: what an address was allowed does not pass to its next owner.
func TestAddressIsReused(t *testing.T) {
	t.Parallel()
	s := newElsewhere(t)
	kept := s.stream(s.client, built.probe, "udp", s.to)
	cut := s.stream(s.client, built.probe, "udp", s.to, "--wait", "1s")
	s.is("one", "other") // the same pod
	s.until("the label has changed", func() bool {
		o, err := endAs(silence, s.command(s.client, built.probe, "dial", "udp", s.to))
		return err == nil && o.status == silence
	})
	kept.lossless()
	s.is("two", "other")
	cut.cut()
}

// TestAddressIsReusedMeanwhile: nor if that comes while no agent runs.
func TestAddressIsReusedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newElsewhere(t)
	kept := s.stream(s.client, built.probe, "udp", s.to)
	cut := s.stream(s.client, built.probe, "udp", s.to, "--wait", "1s")
	s.kill9()
	s.is("one", "other")
	s.start()
	s.expect(silence, s.client, "dial", "udp", s.to)
	kept.lossless()
	s.kill9()
	s.is("two", "other")
	s.start()
	cut.cut()
}
