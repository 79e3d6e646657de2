// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/policy"
)

// A pod as it was has the class of one that is so now, blocks around the address
// included, whatever becomes of the rules.
func TestFormer(t *testing.T) {
	in := shop(ingress("p", "web", policy.Rule{Peers: []policy.Peer{pods("db"), block("10.0.0.0/30")}}))
	was, at := in.Cluster.Pods[db], in.Cluster.Pods[lone].IPs[0]
	inside, outside := FormerKey{Addr: at}, FormerKey{Addr: netip.MustParseAddr("10.0.1.1")}
	in.Formers = map[FormerKey]Former{inside: {Pod: was}, outside: {Pod: was}}
	c := New(new(IDs))
	for range 3 {
		im := mustCompile(t, c, in)
		if got, want := im.Formers[inside], im.Peers[was.IPs[0]]; got != want || got == im.Peers[at] {
			t.Errorf("class %d, want %d", got, want)
		}
		if got := im.Formers[outside]; got == im.Formers[inside] || got == ClassNone {
			t.Errorf("class %d without the block", got)
		}
	}
	in.Cluster = &policy.Cluster{Pods: in.Cluster.Pods}
	in.Cluster.NetworkPolicies = []*policy.NetworkPolicy{ingress("q", "web", policy.Rule{Peers: []policy.Peer{pods("db")}})}
	mustCompile(t, c, in)
	mustCompile(t, c, in)
	im := mustCompile(t, c, in) // what was before is gone
	if got, want := im.Formers[outside], im.Peers[was.IPs[0]]; got != want || got == ClassNone {
		t.Errorf("class %d, want %d", got, want)
	}
	in.Formers = nil
	im = mustCompile(t, c, in)
	if len(im.Formers) != 0 {
		t.Errorf("formers %v, want none", im.Formers)
	}
}
