// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// ErrFull says that a map has no room for a pod.
var ErrFull = errors.New("pod tables are full")

// Pod is a pod's identity in the kernel.
type Pod struct {
	Slot, ID uint32 // given by Register
	IfIndex  uint32 // host side of the veth
	Cookie   uint64 // of the network namespace
	Addrs    []netip.Addr
	Cgroups  []uint64 // ids: the pod's own and those below it; may be empty
	Open     bool     // open, not closed, until the agent gives it rules
}

// AddrKey is a as the kernel's maps hold addresses.
func AddrKey(a netip.Addr) RawAddr {
	b := a.As16()
	var k RawAddr
	for i := range k.W {
		k.W[i] = hostOrder(b[4*i : 4*i+4])
	}
	return k
}

// Addr is the address that k holds; IPv4 is unmapped.
func (k RawAddr) Addr() netip.Addr {
	var b [16]byte
	for i, w := range k.W {
		putHostOrder(b[4*i:4*i+4], w)
	}
	return netip.AddrFrom16(b).Unmap()
}

// Register gives the pod a slot and an id and enters it, closed or open as p says,
// in every identity map; the door's entry comes last. The caller must hold the
// state folder's lock. On error nothing is left behind.
func (s *State) Register(p *Pod) (err error) {
	if p.Slot, err = s.freeSlot(); err != nil {
		return err
	}
	if p.ID, err = s.nextID(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Unregister(*p))
		}
	}()
	ruleset := RuleSetClosed
	if p.Open {
		ruleset = RuleSetOpen
	}
	if err := put(s.Rules, p.Slot, RawAssignment{Pod: p.ID, Ruleset: ruleset}); err != nil {
		return err
	}
	if err := put(s.Pods, p.Slot, RawPod{Id: p.ID, Ifindex: p.IfIndex, Netns: p.Cookie}); err != nil {
		return err
	}
	for _, a := range p.Addrs {
		if err := put(s.Owners, AddrKey(a), p.Slot); err != nil {
			return err
		}
	}
	for _, id := range p.Cgroups {
		if err := s.AddCgroup(*p, id); err != nil {
			return err
		}
	}
	if err := put(s.Netnses, p.Cookie, p.Slot); err != nil {
		return err
	}
	return put(s.Doors, p.IfIndex, p.Slot)
}

// AddCgroup makes a cgroup the pod's.
func (s *State) AddCgroup(p Pod, id uint64) error {
	return put(s.Cgroups, id, RawCgroupPod{Slot: p.Slot, Pod: p.ID})
}

// Unregister frees the pod's slot and entries; what another pod has taken over
// since, and what is gone already, is left alone.
func (s *State) Unregister(p Pod) error {
	var errs []error
	var now RawPod
	if err := s.Pods.Lookup(p.Slot, &now); err == nil && now.Id == p.ID {
		errs = append(errs,
			put(s.Pods, p.Slot, RawPod{}),
			put(s.Rules, p.Slot, RawAssignment{}))
	}
	errs = append(errs, removeIf(s.Doors, p.IfIndex, p.Slot), removeIf(s.Netnses, p.Cookie, p.Slot))
	for _, a := range p.Addrs {
		errs = append(errs, removeIf(s.Owners, AddrKey(a), p.Slot))
	}
	errs = append(errs, s.dropCgroups(p))
	return errors.Join(errs...)
}

// dropCgroups removes every cgroup of the pod, those made in the kernel too.
func (s *State) dropCgroups(p Pod) error {
	var id uint64
	var c RawCgroupPod
	var mine []uint64
	it := s.Cgroups.Iterate()
	for it.Next(&id, &c) {
		if c.Slot == p.Slot && c.Pod == p.ID {
			mine = append(mine, id)
		}
	}
	for _, id := range mine {
		if err := s.Cgroups.Delete(id); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove cgroup %d: %w", id, err)
		}
	}
	return nil
}

// Sweep frees every slot whose pod's id is not known, with all that leads to it.
// The caller must hold the state folder's lock.
func (s *State) Sweep(known map[uint32]bool) error {
	var slot uint32
	var p RawPod
	stale := make(map[uint32]RawPod)
	it := s.Pods.Iterate()
	for it.Next(&slot, &p) {
		if p.Id != 0 && !known[p.Id] {
			stale[slot] = p
		}
	}
	errs := []error{it.Err()}
	for slot, p := range stale {
		pod := Pod{Slot: slot, ID: p.Id, IfIndex: p.Ifindex, Cookie: p.Netns, Addrs: s.owned(slot)}
		errs = append(errs, s.Unregister(pod))
	}
	return errors.Join(errs...)
}

// owned lists the addresses of a slot.
func (s *State) owned(slot uint32) []netip.Addr {
	var a RawAddr
	var owner uint32
	var list []netip.Addr
	for it := s.Owners.Iterate(); it.Next(&a, &owner); {
		if owner == slot {
			list = append(list, a.Addr())
		}
	}
	return list
}

func (s *State) freeSlot() (uint32, error) {
	var slot uint32
	var p RawPod
	it := s.Pods.Iterate()
	for it.Next(&slot, &p) {
		if p.Id == 0 {
			return slot, nil
		}
	}
	if err := it.Err(); err != nil {
		return 0, fmt.Errorf("find a free slot: %w", err)
	}
	return 0, fmt.Errorf("%w: %d pods", ErrFull, s.Pods.MaxEntries())
}

func (s *State) nextID() (uint32, error) {
	var id uint32
	if err := s.Sequence.Lookup(uint32(0), &id); err != nil {
		return 0, fmt.Errorf("read pod sequence: %w", err)
	}
	id++
	return id, put(s.Sequence, uint32(0), id)
}

func put(m *ebpf.Map, key, value any) error {
	err := m.Put(key, value)
	switch {
	case err == nil:
		return nil
	case IsFull(err):
		return fmt.Errorf("%w: map %s", ErrFull, m)
	}
	return fmt.Errorf("write map %s: %w", m, err)
}

func removeIf[K any](m *ebpf.Map, key K, slot uint32) error {
	var now uint32
	if err := m.Lookup(key, &now); err != nil || now != slot {
		return nil
	}
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("clean map %s: %w", m, err)
	}
	return nil
}

// Check says which identity entry of the pod is missing or another's.
func (s *State) Check(p Pod) error {
	var errs []error
	var now RawPod
	if err := s.Pods.Lookup(p.Slot, &now); err != nil || now != (RawPod{Id: p.ID, Ifindex: p.IfIndex, Netns: p.Cookie}) {
		errs = append(errs, fmt.Errorf("slot %d does not hold the pod", p.Slot))
	}
	errs = append(errs, leads(s.Doors, p.IfIndex, p.Slot, "interface"), leads(s.Netnses, p.Cookie, p.Slot, "network namespace"))
	for _, a := range p.Addrs {
		errs = append(errs, leads(s.Owners, AddrKey(a), p.Slot, "address "+a.String()))
	}
	return errors.Join(errs...)
}

func leads[K any](m *ebpf.Map, key K, slot uint32, what string) error {
	var now uint32
	if err := m.Lookup(key, &now); err != nil || now != slot {
		return fmt.Errorf("%s does not lead to slot %d", what, slot)
	}
	return nil
}
