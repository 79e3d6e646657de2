// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/agent/journal"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// BenchmarkFlow is what the agent spends on each flow event, in the journal that it
// fills: the pods share their processors with it.
func BenchmarkFlow(b *testing.B) {
	e := &Engine{names: newNames(nil, "/", nil), journal: journal.New(0, 0), pods: make(map[string]*pod)}
	e.names.put(execID{0x20, 100}, rpc.Process{Path: "/bin/client", PID: 100, ExecID: "20-100"}, execID{})
	img := &compile.Image{Rules: map[uint32]policy.RuleRef{
		7: {Policy: policy.Ref{Kind: "NetworkPolicy", Namespace: "default", Name: "rates"}},
	}}
	ips := []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")}
	e.merging = &merging{addrs: make(map[netip.Addr]policy.PodKey)}
	for i, name := range []string{"client", "server"} {
		p := &pod{Attachment: &rpc.Attachment{Namespace: "default", Name: name, PodID: uint32(i + 1), IPs: ips[i : i+1]}}
		e.pods[name] = p
		e.merging.addrs[ips[i]] = p.key()
	}
	e.publish(&policy.Cluster{}, img)
	ev := state.RawFlowEvent{
		Pod: 1, Rule: 7, Reason: state.ReasonPolicy, Verdict: state.Allowed, Direction: uint8(policy.Egress),
		Key: state.RawFlowKey{
			Pod: state.AddrKey(ips[0]), Peer: state.AddrKey(ips[1]), PeerPort: 0x5114, Ifindex: 4, Protocol: uint8(policy.TCP),
		},
		Process: state.RawStamp{Pid: 100, ExecId: 0x20},
	}
	b.ReportAllocs()
	for b.Loop() {
		ev.Start++
		ev.Time++
		ev.Key.PodPort++
		e.Flow(ev)
	}
}

// A flow keeps the user that its process had, whoever it became since.
func TestFlowKeepsUser(t *testing.T) {
	n := newNames(nil, "/", nil)
	n.put(execID{0x20, 100}, rpc.Process{Path: "/bin/su", PID: 100, ExecID: "20-100"}, execID{})
	root := n.of(state.RawStamp{Pid: 100, ExecId: 0x20})
	user := n.of(state.RawStamp{Pid: 100, ExecId: 0x20, Uid: 1000})
	if root.UID != 0 || user.UID != 1000 || user.Path != "/bin/su" {
		t.Errorf("processes %+v and %+v, want uid 0, then 1000", root, user)
	}
}
