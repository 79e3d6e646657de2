// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// TestPolicyChange changes rules under traffic: a connection that they no longer
// allow is cut, both ways, and one that they do allow loses nothing.
func TestPolicyChange(t *testing.T) {
	for _, c := range []struct{ name, kind, before, after string }{
		{"ingress", "NetworkPolicy", clientOnly,
			`{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: other}}}]}]}`},
		{"egress", "NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{}]}`,
			`{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}`},
		{"workload", "WorkloadPolicy", workload(`egress: {allow: [{}]}`), workload(`egress: {}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Config{})
			server, client, other := w.pod("server"), w.pod("client"), w.pod("other")
			w.serve(server, "tcp", 80)
			w.serve(server, "udp", 80)
			w.serve(other, "tcp", 80)
			bystander := w.stream(server, built.probe, "tcp", at(other.IPv4(), 80))
			w.put(c.kind, c.before)
			var streams []*stream
			for _, to := range []string{at(server.IPv4(), 80), at(server.IPv6(), 80)} {
				streams = append(streams, w.stream(client, built.probe, "tcp", to, "--wait", "1s"),
					w.stream(client, built.probe, "udp", to, "--wait", "1s"))
			}
			judge := client
			if c.name == "ingress" {
				judge = server
			}
			w.put(c.kind, c.after)
			for _, s := range streams {
				s.await("lost")
			}
			w.flow(judge, "a flow that was cut", func(f *rpc.Flow) bool {
				return f.Verdict == "denied" && f.Reason == "established-recheck"
			})
			stillCut(w, judge)
			for _, s := range streams {
				s.stop()
			}
			bystander.lossless()
			if c.name == "ingress" {
				w.expect(ok, other, "dial", "tcp", at(server.IPv4(), 80))
			}
			w.remove(c.kind)
			w.expect(ok, client, "dial", "tcp", at(server.IPv4(), 80))
		})
	}
}

// stillCut checks that no flow of the client passes any more.
func stillCut(w *world, judge *harness.Pod) {
	w.Helper()
	err := w.node.Client().Flows(w.Context(), rpc.Query{Pod: name(judge), Verdict: "allowed"}, func(f rpc.Flow) error {
		if f.Phase == "update" && f.Source.Pod == "client" && f.Destination.Pod == "server" {
			w.Errorf("a flow that should be cut: %+v", f)
		}
		return nil
	}, nil)
	if err != nil {
		w.Fatal(err)
	}
}

// TestAtomicSwitch switches a hundred times between two policies that both allow a
// stream, by different rules: it loses nothing.
func TestAtomicSwitch(t *testing.T) {
	t.Parallel()
	s := newTraffic(t, harness.Config{})
	for i := range 100 {
		from := "podSelector: {matchLabels: {app: client}}"
		if i%2 == 0 {
			from = fmt.Sprintf(`ipBlock: {cidr: %s/32}}, {ipBlock: {cidr: "%s/128"}`, s.client.IPv4(), s.client.IPv6())
		}
		s.put("NetworkPolicy", fmt.Sprintf(`{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{%s}]}]}`, from))
	}
	s.holds()
	s.lossless()
	if r, err := s.node.Client().Status(t.Context()); err != nil || r.Revision < 100 {
		t.Errorf("revision %d, %v", r.Revision, err)
	}
}
