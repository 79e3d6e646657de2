// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pod(i byte) state.Pod {
	return state.Pod{
		IfIndex: uint32(i), Cookie: 1000 + uint64(i), Cgroups: []uint64{2000 + uint64(i)},
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, i}), netip.AddrFrom16([16]byte{0xfd, 15: i})},
	}
}

// left counts what the identity maps hold.
func left(t *testing.T, s *state.State) int {
	t.Helper()
	n := 0
	for _, m := range []*ebpf.Map{s.Doors, s.Netnses, s.Owners, s.Cgroups} {
		key := make([]byte, m.KeySize())
		for err := m.NextKey(nil, &key); err == nil; err = m.NextKey(key, &key) {
			n++
		}
	}
	return n
}

func TestPinsOutliveTheirMaker(t *testing.T) {
	dir := bpftest.Dir(t)
	if _, err := state.Open(dir); !errors.Is(err, state.ErrNotInstalled) {
		t.Fatalf("open without pins: %v, want ErrNotInstalled", err)
	}
	first, err := state.Create(dir, state.Sizes{Pods: 8, Flows: 64})
	must(t, err)
	p := pod(1)
	must(t, first.Register(&p))
	must(t, first.Close())

	opened, err := state.Open(dir)
	must(t, err)
	defer opened.Close()
	must(t, opened.Check(p))
	again, err := state.Create(dir, state.Sizes{Pods: 16, Flows: 128})
	must(t, err)
	defer again.Close()
	must(t, again.Check(p))
	if n := again.Flows.MaxEntries(); n != 64 {
		t.Errorf("the pinned flow table holds %d, want 64 as it was made", n)
	}
}

func TestRegisterAndUnregister(t *testing.T) {
	s, err := state.New()
	must(t, err)
	defer s.Close()
	a, b := pod(1), pod(2)
	b.Open = true
	must(t, s.Register(&a))
	must(t, s.Register(&b))
	if a.Slot == b.Slot || a.ID == b.ID || a.ID == 0 {
		t.Fatalf("slots %d and %d, ids %d and %d", a.Slot, b.Slot, a.ID, b.ID)
	}
	for p, want := range map[*state.Pod]uint32{&a: state.RuleSetClosed, &b: state.RuleSetOpen} {
		var got state.RawAssignment
		must(t, s.Rules.Lookup(p.Slot, &got))
		if got != (state.RawAssignment{Pod: p.ID, Ruleset: want}) {
			t.Errorf("rules = %v, want those of pod %d, rule set %d", got, p.ID, want)
		}
	}
	must(t, s.Unregister(a))
	must(t, s.Unregister(a))
	if err := s.Check(a); err == nil {
		t.Error("a pod that is gone checks")
	}
	must(t, s.Check(b))
	must(t, s.Unregister(b))
	if n := left(t, s); n != 0 {
		t.Errorf("%d identity entries are left", n)
	}
}

// A slot is used again, an id never; and who is late cannot hurt the next one.
func TestSlotsAreReusedIDsAreNot(t *testing.T) {
	s, err := state.New()
	must(t, err)
	defer s.Close()
	old := pod(1)
	must(t, s.Register(&old))
	must(t, s.Unregister(old))
	next := pod(1) // same interface, namespace and addresses
	must(t, s.Register(&next))
	if next.Slot != old.Slot || next.ID <= old.ID {
		t.Errorf("slot %d after %d, id %d after %d", next.Slot, old.Slot, next.ID, old.ID)
	}
}

func TestFullTablesLeaveNothing(t *testing.T) {
	dir := bpftest.Dir(t)
	s, err := state.Create(dir, state.Sizes{Pods: 2})
	must(t, err)
	defer s.Close()
	a, b, c := pod(1), pod(2), pod(3)
	must(t, s.Register(&a))
	must(t, s.Register(&b))
	before := left(t, s)
	if err := s.Register(&c); !errors.Is(err, state.ErrFull) {
		t.Errorf("error = %v, want ErrFull", err)
	}
	must(t, s.Unregister(b))
	for i := byte(10); i < 20; i++ { // more addresses than there is room for
		c.Addrs = append(c.Addrs, pod(i).Addrs...)
	}
	if err := s.Register(&c); !errors.Is(err, state.ErrFull) {
		t.Errorf("error = %v, want ErrFull", err)
	}
	must(t, s.Register(&b))
	if after := left(t, s); after != before {
		t.Errorf("%d identity entries, want %d", after, before)
	}
}

func TestSweep(t *testing.T) {
	s, err := state.New()
	must(t, err)
	defer s.Close()
	a, b := pod(1), pod(2)
	must(t, s.Register(&a))
	must(t, s.Register(&b))
	must(t, s.Sweep(map[uint32]bool{a.ID: true}))
	must(t, s.Check(a))
	must(t, s.Unregister(a))
	if n := left(t, s); n != 0 {
		t.Errorf("%d identity entries are left", n)
	}
}

func TestAddresses(t *testing.T) {
	for _, s := range []string{"10.1.2.3", "::1", "fd00::1:2", "0.0.0.0", "255.255.255.255"} {
		a := netip.MustParseAddr(s)
		if got := state.AddrKey(a).Addr(); got != a {
			t.Errorf("%s came back as %s", a, got)
		}
	}
}
