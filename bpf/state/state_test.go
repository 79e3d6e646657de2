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

// second is another interface of the pod p: only what is found inside is shared.
func second(p state.Pod, i byte) state.Pod {
	other := pod(i)
	other.Cookie, other.Cgroups = p.Cookie, p.Cgroups
	return other
}

// The interfaces of a pod are one pod, in whatever order they come and go.
func TestInterfacesShareAnIdentity(t *testing.T) {
	for name, firstGoesFirst := range map[string]bool{"first goes first": true, "first goes last": false} {
		t.Run(name, func(t *testing.T) {
			s, err := state.New()
			must(t, err)
			defer s.Close()
			a := pod(1)
			must(t, s.Register(&a))
			ruled := state.RawAssignment{Pod: a.ID, Ruleset: 77}
			must(t, s.Rules.Put(a.Slot, ruled))
			entry := state.RawCgroupPod{Container: 5, Slot: a.Slot, Pod: a.ID}
			must(t, s.Cgroups.Put(a.Cgroups[0], entry))
			b := second(a, 2)
			must(t, s.Register(&b))
			if a.Slot != b.Slot || a.ID != b.ID {
				t.Fatalf("slots %d and %d, ids %d and %d", a.Slot, b.Slot, a.ID, b.ID)
			}
			must(t, errors.Join(s.Check(a), s.Check(b)))
			var now state.RawPod
			must(t, s.Pods.Lookup(a.Slot, &now))
			if want := [4]uint32{a.IfIndex, b.IfIndex}; now.Links != want {
				t.Errorf("interfaces %v, want %v", now.Links, want)
			}

			gone, stays := a, b
			if !firstGoesFirst {
				gone, stays = b, a
			}
			must(t, s.Unregister(gone))
			must(t, s.Unregister(gone))
			must(t, s.Check(stays))
			if s.Check(gone) == nil {
				t.Error("an interface that is gone checks")
			}
			must(t, s.Pods.Lookup(a.Slot, &now))
			if want := (state.RawPod{Id: a.ID, Links: [4]uint32{stays.IfIndex}, Netns: a.Cookie}); now != want {
				t.Errorf("pod = %v, want %v", now, want)
			}
			var rules state.RawAssignment
			must(t, s.Rules.Lookup(a.Slot, &rules))
			var cgroup state.RawCgroupPod
			must(t, s.Cgroups.Lookup(a.Cgroups[0], &cgroup))
			if rules != ruled || cgroup != entry {
				t.Errorf("rules %v and cgroup %v, want %v and %v as they were", rules, cgroup, ruled, entry)
			}
			must(t, s.Unregister(stays))
			if n := left(t, s); n != 0 {
				t.Errorf("%d identity entries are left", n)
			}
			must(t, s.Pods.Lookup(a.Slot, &now))
			if now.Id != 0 {
				t.Errorf("slot %d is not free: %v", a.Slot, now)
			}
		})
	}
}

// A second interface that does not fit leaves the first as it was.
func TestFailedShareHarmsNobody(t *testing.T) {
	s, err := state.Create(bpftest.Dir(t), state.Sizes{Pods: 2})
	must(t, err)
	defer s.Close()
	a := pod(1)
	must(t, s.Register(&a))
	before := left(t, s)
	b := second(a, 2)
	for i := byte(10); i < 20; i++ {
		b.Addrs = append(b.Addrs, pod(i).Addrs...)
	}
	if err := s.Register(&b); !errors.Is(err, state.ErrFull) {
		t.Errorf("error = %v, want ErrFull", err)
	}
	must(t, s.Check(a))
	if after := left(t, s); after != before {
		t.Errorf("%d identity entries, want %d", after, before)
	}
}

func TestRestore(t *testing.T) {
	s, err := state.New()
	must(t, err)
	defer s.Close()
	a := pod(1)
	must(t, s.Register(&a))
	entry := state.RawCgroupPod{Container: 5, Slot: a.Slot, Pod: a.ID}
	must(t, s.Cgroups.Put(a.Cgroups[0], entry))
	ruled := state.RawAssignment{Pod: a.ID, Ruleset: 77}
	must(t, s.Rules.Put(a.Slot, ruled))
	must(t, s.Doors.Delete(a.IfIndex))
	must(t, s.Netnses.Delete(a.Cookie))
	must(t, s.Owners.Delete(state.AddrKey(a.Addrs[0])))
	must(t, s.Restore(a))
	must(t, s.Check(a))
	var cgroup state.RawCgroupPod
	must(t, s.Cgroups.Lookup(a.Cgroups[0], &cgroup))
	var rules state.RawAssignment
	must(t, s.Rules.Lookup(a.Slot, &rules))
	if cgroup != entry || rules != ruled {
		t.Errorf("cgroup %v and rules %v, want %v and %v as they were", cgroup, rules, entry, ruled)
	}
	must(t, s.Rules.Put(a.Slot, state.RawAssignment{Pod: a.ID + 1, Ruleset: 9}))
	must(t, s.Restore(a))
	must(t, s.Rules.Lookup(a.Slot, &rules))
	if want := (state.RawAssignment{Pod: a.ID}); rules != want {
		t.Errorf("another's rules became %v, want %v", rules, want)
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
	more := second(b, 3)
	must(t, s.Register(&more))
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
