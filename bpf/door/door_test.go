// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

const (
	tcp  = 6
	udp  = 17
	icmp = 1

	restricted = 20 // rule set: egress and ingress isolated, class 7 may on port 80/TCP and all of 53/UDP
	locked     = 21 // rule set: isolated both ways, nothing allowed
	same       = 23 // as restricted
	friend     = 7  // peer class
	rule       = 30
)

var (
	pod4     = netip.MustParseAddr("10.1.0.2")
	pod6     = netip.MustParseAddr("fd00::2")
	friend4  = netip.MustParseAddr("10.1.0.3")
	friend6  = netip.MustParseAddr("fd00::3")
	stranger = netip.MustParseAddr("192.0.2.1")
)

// fixture is a pod behind a door on interface 1.
type fixture struct {
	testing.TB
	s       *state.State
	in, out *ebpf.Program
	pod     state.Pod
}

func newFixture(tb testing.TB, c Config) *fixture {
	tb.Helper()
	bpftest.Netns(tb)
	s, err := state.New()
	must(tb, err)
	return fixtureOn(tb, s, c)
}

// fixtureOn closes s with the test.
func fixtureOn(tb testing.TB, s *state.State, c Config) *fixture {
	tb.Helper()
	tb.Cleanup(func() { s.Close() })
	coll, err := Load(s, c)
	must(tb, err)
	tb.Cleanup(coll.Close)
	must(tb, Start(coll))
	f := &fixture{TB: tb, s: s, in: coll.Programs[progIn], out: coll.Programs[progOut]}
	f.pod = state.Pod{IfIndex: 1, Cookie: 99, MAC: bpftest.PodMAC(), Addrs: []netip.Addr{pod4, pod6}}
	must(tb, s.Register(&f.pod))
	must(tb, s.Rulesets.Put(uint32(restricted), isolating))
	must(tb, s.Rulesets.Put(uint32(locked), state.RawRuleset{Active: isolating.Active}))
	for dir := range uint8(2) {
		must(tb, s.Edges.Put(edge(dir), state.RawPortSet{Id: 40, Lengths: 1 << 16}))
	}
	must(tb, s.Ports.Put(state.RawPortKey{Set: 40, Protocol: tcp, Bits: 16, Port: 80}, state.RawGrant{Rule: rule}))
	must(tb, s.Ports.Put(state.RawPortKey{Set: 40, Protocol: udp, Bits: 16, Port: 53}, state.RawGrant{Rule: rule}))
	must(tb, s.Peers.Put(state.AddrKey(friend4), uint32(friend)))
	must(tb, s.Peers.Put(state.AddrKey(friend6), uint32(friend)))
	return f
}

// isolating isolates in both directions by lists of NetworkPolicies' rules.
var isolating = state.RawRuleset{Active: [8]uint8{1: 1, 5: 1}, Lists: [8]uint32{1: 50, 5: 51}}

// edge is where the list of one direction names what friends may do.
func edge(direction uint8) state.RawEdge {
	return state.RawEdge{List: 50 + uint32(direction), Class: friend}
}

func (f *fixture) use(ruleset uint32) {
	f.Helper()
	must(f, f.s.Rules.Put(f.pod.Slot, state.RawAssignment{Pod: f.pod.ID, Ruleset: ruleset}))
}

func (f *fixture) leave(frame bpftest.Frame) bool { return f.leaves(frame.Bytes(f)) }
func (f *fixture) enter(frame bpftest.Frame) bool { return f.enters(frame.Bytes(f)) }

// leaves and enters take a frame as it stands on the wire.
func (f *fixture) leaves(b []byte) bool { return bpftest.Run(f, f.out, b, false) == bpftest.Next }
func (f *fixture) enters(b []byte) bool { return bpftest.Run(f, f.in, b, false) == bpftest.Next }

// grantAll lets the friends use every protocol under the restricted rules.
func (f *fixture) grantAll() {
	f.Helper()
	must(f, f.s.Ports.Put(state.RawPortKey{Set: 40}, state.RawGrant{Rule: rule}))
}

// useEqual switches to a rule set that says the same as the restricted one.
func (f *fixture) useEqual() {
	f.Helper()
	must(f, f.s.Rulesets.Put(uint32(same), isolating))
	f.use(same)
}

func (f *fixture) want(what string, passed, want bool) {
	f.Helper()
	if passed != want {
		f.Errorf("%s: passed %v, want %v", what, passed, want)
	}
}

func (f *fixture) drops(reason string) uint64 {
	f.Helper()
	return f.count(f.s.Drops, state.Reasons(), reason)
}

// count reads the counter called name.
func (f *fixture) count(m *ebpf.Map, names []string, name string) uint64 {
	f.Helper()
	var per []uint64
	must(f, m.Lookup(uint32(slices.Index(names, name)), &per))
	var n uint64
	for _, v := range per {
		n += v
	}
	return n
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func syn(src, dst netip.Addr, from, to uint16) bpftest.Frame {
	return bpftest.Frame{Src: src, Dst: dst, Protocol: tcp, SrcPort: from, DstPort: to, SYN: true}
}

func TestRulesDecide(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, pair := range [][2]netip.Addr{{pod4, friend4}, {pod6, friend6}} {
		f.want("to a friend", f.leave(syn(pair[0], pair[1], 1000, 80)), true)
		f.want("to a friend, other port", f.leave(syn(pair[0], pair[1], 1000, 81)), false)
		f.want("from a friend", f.enter(syn(pair[1], pair[0], 2000, 80)), true)
		f.want("from a friend, other port", f.enter(syn(pair[1], pair[0], 2000, 81)), false)
	}
	f.want("to a stranger", f.leave(syn(pod4, stranger, 1000, 80)), false)
	f.want("from a stranger", f.enter(syn(stranger, pod4, 1000, 80)), false)
	f.want("ping a friend", f.leave(bpftest.Frame{Src: pod4, Dst: friend4, Protocol: icmp, SrcPort: 9}), false)
}

func TestAnswersPassAndNothingElse(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, out := range []bpftest.Frame{
		syn(pod4, friend4, 1000, 80), syn(pod6, friend6, 1000, 80),
		{Src: pod4, Dst: friend4, Protocol: udp, SrcPort: 1001, DstPort: 53},
	} {
		back := out.Reverse()
		f.want("answer before the question", f.enter(back), false)
		f.want("question", f.leave(out), true)
		f.want("answer", f.enter(back), true)
		back.SrcPort++
		f.want("answer of another port", f.enter(back), false)
	}
}

func TestClosedPodHearsTheNodeOnly(t *testing.T) {
	f := newFixture(t, Config{})
	probe := syn(friend4, pod4, 3000, 80)
	f.want("from a pod", f.enter(probe), false)
	f.want("to a pod", f.leave(syn(pod4, friend4, 1000, 80)), false)
	probe.SrcPort++
	if bpftest.Run(t, f.in, probe.Bytes(t), true) != bpftest.Next {
		t.Error("probe of the node did not pass")
	}
	f.want("answer to the probe", f.leave(probe.Reverse()), true)
	if n := f.drops("closed"); n != 2 {
		t.Errorf("closed drops = %d, want 2", n)
	}
}

func TestSpoofedAndForeignAddresses(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	f.want("own source", f.leave(syn(pod4, stranger, 1000, 80)), true)
	f.want("another's source", f.leave(syn(friend4, stranger, 1000, 80)), false)
	f.want("another's destination", f.enter(syn(stranger, friend4, 1000, 80)), false)
	if n := f.drops("spoofed"); n != 2 {
		t.Errorf("spoofed drops = %d, want 2", n)
	}
}

func TestChangeOfRulesCutsBothWays(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	ask := syn(pod4, friend4, 1000, 80)
	f.want("question", f.leave(ask), true)
	f.want("answer", f.enter(ask.Reverse()), true)
	f.use(locked)
	ask.SYN = false
	f.want("answer after the change", f.enter(ask.Reverse()), false)
	f.want("question after the change", f.leave(ask), false)
	f.want("answer again", f.enter(ask.Reverse()), false)
	f.use(state.RuleSetOpen)
	f.want("question under open rules", f.leave(ask), true)
}

// A cut flow must not come back by the other direction, where nothing isolates.
func TestCutFlowDoesNotTurnRound(t *testing.T) {
	f := newFixture(t, Config{})
	must(t, f.s.Rulesets.Put(uint32(22), state.RawRuleset{Active: [8]uint8{5: 1}})) // egress alone
	f.use(restricted)
	ask := bpftest.Frame{Src: pod4, Dst: friend4, Protocol: udp, SrcPort: 1000, DstPort: 53}
	f.want("question", f.leave(ask), true)
	f.want("answer", f.enter(ask.Reverse()), true)
	f.use(22)
	f.want("question after the change", f.leave(ask), false)
	f.want("answer after the change", f.enter(ask.Reverse()), false)
	f.want("question once more", f.leave(ask), false)
}

func TestRulesThatStayKeepTheFlow(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	ask := syn(pod4, friend4, 1000, 80)
	f.want("question", f.leave(ask), true)
	f.use(state.RuleSetOpen)
	f.use(restricted)
	must(t, f.s.Peers.Delete(state.AddrKey(friend4))) // the peer merely leaves
	ask.SYN = false
	f.want("under the same rules", f.leave(ask), true)
}
