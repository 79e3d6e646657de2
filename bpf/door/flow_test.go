// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

func TestQuotaIsThePodsOwn(t *testing.T) {
	f := newFixture(t, Config{HalfOpen: 8})
	f.use(restricted)
	other := state.Pod{IfIndex: 2, Cookie: 100, Addrs: []netip.Addr{friend4}}
	must(t, f.s.Register(&other))
	passed := 0
	for port := range uint16(20) {
		if f.leave(syn(pod4, friend4, 1000+port, 80)) {
			passed++
		}
	}
	if passed != 8 || f.drops("table-full") != 12 {
		t.Errorf("%d of 20 SYNs passed, %d drops; want 8 and 12", passed, f.drops("table-full"))
	}
	must(t, f.s.Rules.Put(other.Slot, state.RawAssignment{Pod: other.ID, Ruleset: restricted}))
	must(t, f.s.Doors.Put(uint32(1), state.RawDoorway{Slot: other.Slot}))
	must(t, f.s.Peers.Put(state.AddrKey(pod4), uint32(friend)))
	f.want("the other pod", f.leave(syn(friend4, pod4, 5000, 80)), true)
}

func TestAnsweredFlowsLeaveTheHalfOpenQuota(t *testing.T) {
	f := newFixture(t, Config{HalfOpen: 2, Open: 100})
	f.use(restricted)
	for port := range uint16(20) {
		ask := syn(pod4, friend4, 1000+port, 80)
		f.want("question", f.leave(ask), true)
		f.want("answer", f.enter(segment(ask.Reverse(), synAnswer)), true)
		f.want("ACK", f.leave(segment(ask, nil)), true)
	}
}

// Far more flows than the reaper looks at in one turn: each ends, and none too soon.
func TestManyFlowsEnd(t *testing.T) {
	f := newFixture(t, Config{HalfOpen: 20000, UDPHalf: 300 * time.Millisecond})
	f.use(restricted)
	for port := range uint16(6000) {
		ask := bpftest.Frame{Src: pod4, Dst: friend4, Protocol: udp, SrcPort: 1000 + port, DstPort: 53}
		f.leave(ask)
	}
	kept := syn(pod4, friend4, 999, 80)
	f.want("question", f.leave(kept), true)
	var key state.RawFlowKey
	for deadline := time.Now().Add(20 * time.Second); ; {
		n := 0
		var flow state.RawFlow
		for it := f.s.Flows.Iterate(); it.Next(&key, &flow); {
			n++
		}
		if n == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d flows are left, want 1", n)
		}
	}
	var c state.RawCount
	must(t, f.s.Counts.Lookup(f.pod.Slot, &c))
	if c.Flows != [3]uint32{1, 0, 0} {
		t.Errorf("quota counters = %v, want one half-open flow", c.Flows)
	}
}

func TestFlowsEndByThemselves(t *testing.T) {
	f := newFixture(t, Config{UDPHalf: 20 * time.Millisecond, DeniedFor: 20 * time.Millisecond})
	f.use(restricted)
	ring, err := ringbuf.NewReader(f.s.FlowRing)
	must(t, err)
	defer ring.Close()
	f.want("question", f.leave(bpftest.Frame{Src: pod4, Dst: friend4, Protocol: udp, SrcPort: 1000, DstPort: 53}), true)
	f.want("denied", f.leave(syn(pod4, stranger, 1000, 80)), false)
	for _, phase := range []uint8{state.PhaseNew, state.PhaseDenied, state.PhaseClosed} {
		rec := next(t, ring)
		if got := rec.RawSample[unsafe.Offsetof(state.RawFlowEvent{}.Phase)]; got != phase {
			t.Errorf("phase = %d, want %d", got, phase)
		}
	}
	var key state.RawFlowKey
	deadline := time.Now().Add(5 * time.Second)
	for f.s.Flows.NextKey(nil, &key) == nil {
		if time.Now().After(deadline) {
			t.Fatal("a flow is still there")
		}
	}
}

// next waits for a record; the ring does not wake its reader.
func next(t *testing.T, ring *ringbuf.Reader) ringbuf.Record {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		ring.SetDeadline(time.Now().Add(time.Millisecond))
		rec, err := ring.Read()
		if err == nil {
			return rec
		}
	}
	t.Fatal("no record came")
	return ringbuf.Record{}
}

// The peer's TCP tries again for long; by then its frames must not open the flow.
func TestCutConnectionStaysCut(t *testing.T) {
	f := newFixture(t, Config{DeniedFor: 10 * time.Millisecond})
	must(t, f.s.Rulesets.Put(uint32(22), state.RawRuleset{Active: [8]uint8{5: 1}})) // egress alone
	f.use(restricted)
	ask := syn(pod4, friend4, 1000, 80)
	f.want("question", f.leave(ask), true)
	f.want("answer", f.enter(ask.Reverse()), true)
	f.use(22)
	ask.SYN = false
	f.want("question after the change", f.leave(ask), false)
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		if f.enter(ask.Reverse()) {
			t.Fatal("the cut connection came back")
		}
	}
	f.want("question once more", f.leave(ask), false)
}

// A pod that nothing isolates loses nothing to its quotas.
func TestFullQuotaHurtsNoOpenPod(t *testing.T) {
	f := newFixture(t, Config{HalfOpen: 8, Open: 8})
	f.use(state.RuleSetOpen)
	for port := range uint16(50) {
		ask := bpftest.Frame{Src: stranger, Dst: pod4, Protocol: udp, SrcPort: 2000 + port, DstPort: 53}
		f.want("question", f.enter(ask), true)
		f.want("answer", f.leave(ask.Reverse()), true)
	}
}

// An answer is one for as long as the question is remembered.
func TestUDPAnswersInTime(t *testing.T) {
	f := newFixture(t, Config{UDPHalf: 100 * time.Millisecond, UDPOpen: 100 * time.Millisecond})
	f.use(restricted)
	for _, fam := range families {
		ask := bpftest.Frame{Src: fam.pod, Dst: fam.friend, Protocol: udp, SrcPort: 1000, DstPort: 53}
		f.want(fam.name+": question", f.leave(ask), true)
		f.want(fam.name+": answer", f.enter(ask.Reverse()), true)
		time.Sleep(150 * time.Millisecond) // the time-out itself
		f.want(fam.name+": late answer", f.enter(ask.Reverse()), false)
		f.want(fam.name+": question again", f.leave(ask), true)
		f.want(fam.name+": its answer", f.enter(ask.Reverse()), true)
	}
}

// A peer becomes known while the pod keeps asking: some time it must be heard.
func TestDenialIsNotForEver(t *testing.T) {
	f := newFixture(t, Config{DeniedFor: 100 * time.Millisecond})
	f.use(restricted)
	ask := bpftest.Frame{Src: pod4, Dst: stranger, Protocol: udp, SrcPort: 1000, DstPort: 53}
	f.want("stranger", f.leave(ask), false)
	must(t, f.s.Peers.Put(state.AddrKey(stranger), uint32(friend)))
	for end := time.Now().Add(time.Second); ; {
		if f.leave(ask) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("still denied")
		}
	}
}

// A full table ends nothing: what it holds goes on, what is new is denied where a
// policy isolates, and passes elsewhere, untracked.
func TestFullTable(t *testing.T) {
	bpftest.Netns(t)
	s, err := state.Create(bpftest.Dir(t), state.Sizes{Pods: 4, Flows: 64})
	must(t, err)
	f := fixtureOn(t, s, Config{})
	f.use(restricted)
	first := syn(pod4, friend4, 999, 80)
	f.shake(first)
	passed := 0
	for port := range uint16(200) {
		if f.leave(syn(pod4, friend4, 1000+port, 80)) {
			passed++
		}
	}
	if passed != 63 || f.drops("table-full") != 137 || f.count(f.s.Full, state.Fulls(), "flows") < 137 {
		t.Errorf("%d of 200 SYNs passed, %d drops; want 63 and 137", passed, f.drops("table-full"))
	}
	f.want("what the table holds", f.leave(segment(first, nil)), true)
	f.want("its answer", f.enter(segment(first.Reverse(), nil)), true)
	f.use(state.RuleSetOpen)
	f.want("nothing isolates", f.leave(syn(pod4, friend4, 5000, 80)), true)
	if n := f.count(f.s.Oddities, state.Oddities(), "untracked"); n != 1 {
		t.Errorf("%d untracked, want 1", n)
	}
	f.use(locked)
	f.want("new rules hold for what the table knows", f.leave(segment(first, nil)), false)
}
