// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// topologies are the ways to connect a pod to its node.
var topologies = map[string]harness.Config{"bridge": {}, "ptp": {PTP: true}}

// What traffic a policy is expected to let through.
type reach struct {
	tcp80, tcp81, udp80, icmp int // status of the probe
}

var (
	all  = reach{}
	none = reach{silence, silence, silence, silence}
)

// expectReach tries every protocol over both families at once.
func (w *world) expectReach(what string, want reach, from, to *harness.Pod) {
	w.Helper()
	var tries []try
	for _, ip := range []netip.Addr{to.IPv4(), to.IPv6()} {
		tries = append(tries,
			try{want.tcp80, []string{"dial", "tcp", at(ip, 80)}},
			try{want.tcp81, []string{"dial", "tcp", at(ip, 81)}},
			try{want.udp80, []string{"dial", "udp", at(ip, 80)}},
			try{want.icmp, []string{"ping", ip.String()}})
	}
	w.expectAll(fmt.Sprintf("%s: %s to %s", what, name(from), name(to)), from, tries)
}

// TestNetworkPolicy walks through what NetworkPolicies can say, on every topology,
// protocol and family.
func TestNetworkPolicy(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cfg)
			server, client, other := w.pod("server"), w.pod("client"), w.pod("other")
			stranger := w.add(harness.PodSpec{Namespace: "far", Name: "client", Labels: map[string]string{"app": "client"}})
			w.serve(server, "tcp", 80)
			w.serve(server, "tcp", 81)
			w.serve(server, "udp", 80)
			if err := w.node.WriteManifest("far.yaml", []byte(
				"{apiVersion: v1, kind: Namespace, metadata: {name: far, labels: {team: far}}}")); err != nil {
				t.Fatal(err)
			}
			w.until("the namespace is read", func() bool {
				_, err := w.node.Client().Get(t.Context(), "Namespace", "", "far")
				return err == nil
			})
			w.run("ingress", func(w *world) { testIngress(w, server, client, other, stranger) })
			w.run("egress", func(w *world) { testEgress(w, server, client, other) })
		})
	}
}

func testIngress(w *world, server, client, other, stranger *harness.Pod) {
	w.expectReach("no policy", all, client, server)
	const isolate = `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress], ingress: [%s]}`

	w.put("NetworkPolicy", fmt.Sprintf(isolate, ""))
	w.expectReach("isolated", none, client, server)
	w.expect(ok, server, "dial", "tcp", at(server.IPv4(), 80)) // itself
	w.expect(ok, server, "dial", "tcp", "127.0.0.1:80")

	w.put("NetworkPolicy", fmt.Sprintf(isolate, `{from: [{podSelector: {matchLabels: {app: client}}}]}`))
	w.expectReach("podSelector", all, client, server)
	w.expectReach("podSelector", none, other, server)
	w.expectReach("podSelector is of the policy's namespace", none, stranger, server)

	w.put("NetworkPolicy", fmt.Sprintf(isolate, `{from: [{namespaceSelector: {matchLabels: {team: far}}}]}`))
	w.expectReach("namespaceSelector", all, stranger, server)
	w.expectReach("namespaceSelector", none, client, server)

	w.put("NetworkPolicy", fmt.Sprintf(isolate,
		`{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}`))
	w.expectReach("ports: TCP by default, no ICMP", reach{ok, silence, silence, silence}, stranger, server)
	w.expectReach("both selectors", none, other, server)

	w.put("NetworkPolicy", fmt.Sprintf(isolate, `{ports: [{protocol: UDP, port: 80}, {protocol: TCP, port: 81}]}`))
	w.expectReach("ports from anywhere", reach{silence, ok, ok, silence}, other, server)

	w.put("NetworkPolicy", fmt.Sprintf(isolate, fmt.Sprintf(
		`{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [%s/32]}}, {ipBlock: {cidr: "fd00::/8", except: ["%s/128"]}}]}`,
		other.IPv4(), other.IPv6())))
	w.expectReach("ipBlock", all, client, server)
	w.expectReach("ipBlock except", none, other, server)

	w.remove("NetworkPolicy")
	w.expectReach("policy removed", all, other, server)
}

func testEgress(w *world, server, client, other *harness.Pod) {
	const isolate = `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [%s]}`

	w.put("NetworkPolicy", fmt.Sprintf(isolate, ""))
	w.expectReach("isolated", none, client, server)
	w.expectReach("not selected", all, other, server)

	w.put("NetworkPolicy", fmt.Sprintf(isolate, `{to: [{podSelector: {matchLabels: {app: server}}}], ports: [{port: 81}]}`))
	w.expectReach("podSelector and port", reach{silence, ok, silence, silence}, client, server)

	w.put("NetworkPolicy", fmt.Sprintf(isolate, fmt.Sprintf(
		`{to: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: "::/0", except: ["%s/128"]}}]}`, other.IPv6())))
	w.expectReach("ipBlock", all, client, server)

	w.put("NetworkPolicy", fmt.Sprintf(isolate, fmt.Sprintf(
		`{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [%s/32]}}]}`, server.IPv4())))
	w.expectReach("ipBlock of the other family, except", none, client, server)
	w.remove("NetworkPolicy")
	w.expectReach("policy removed", all, client, server)
}

// TestManifestsFolder sets policy by files.
func TestManifestsFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "tcp", 80)
	to := at(server.IPv4(), 80)
	w.expect(ok, client, "dial", "tcp", to)
	deny := manifest("NetworkPolicy", "shop", "deny", `{podSelector: {matchLabels: {app: server}}}`)
	if err := w.node.WriteManifest("deny.yaml", deny); err != nil {
		t.Fatal(err)
	}
	w.until("the policy denies", func() bool {
		o, err := end(w.command(client, built.probe, "dial", "tcp", to))
		return err == nil && o.status == silence
	})
	// A broken file leaves in force what it said before.
	if err := w.node.WriteManifest("deny.yaml", append(deny, "---\nkind: [\n"...)); err != nil {
		t.Fatal(err)
	}
	w.until("the broken file is told of", func() bool {
		s, err := w.node.Client().Status(t.Context())
		return err == nil && len(s.Problems) > 0
	})
	w.expect(silence, client, "dial", "tcp", to)
	if err := w.node.WriteManifest("deny.yaml", []byte("# nothing\n")); err != nil {
		t.Fatal(err)
	}
	w.expect(ok, client, "dial", "tcp", to)
}
