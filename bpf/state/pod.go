// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
)

// ErrFull says that a map has no room for a pod.
var ErrFull = errors.New("pod tables are full")

// Pod is a pod's identity in the kernel.
type Pod struct {
	Slot, ID uint32           // given by Register
	IfIndex  uint32           // host side of the veth
	MAC      net.HardwareAddr // of the pod's side; empty: not known
	NetnsID  int32            // id of the pod's network namespace in the node's; -1: not known
	Cookie   uint64           // of the network namespace
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
// in every identity map; the door's entry comes last. A further interface of a
// network namespace shares the slot, the id and the rules of the first. The caller
// must hold the state folder's lock. On error nothing is left behind.
func (s *State) Register(p *Pod) (err error) {
	shares, err := s.join(p)
	if err != nil {
		return err
	}
	if !shares {
		if p.Slot, err = s.freeSlot(); err != nil {
			return err
		}
		if p.ID, err = s.nextID(); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Unregister(*p))
		}
	}()
	if !shares {
		if err := put(s.Pods, p.Slot, RawPod{Id: p.ID, Links: [podLinks]uint32{p.IfIndex}, Netns: p.Cookie}); err != nil {
			return err
		}
		if err := put(s.Rules, p.Slot, p.unruled()); err != nil {
			return err
		}
	}
	for _, id := range p.Cgroups {
		if err := s.AddCgroup(*p, id); err != nil {
			return err
		}
	}
	return s.enter(*p, put)
}

// join gives p the slot and id of the pod that has its network namespace, if any.
func (s *State) join(p *Pod) (bool, error) {
	var slot uint32
	err := s.Netnses.Lookup(p.Cookie, &slot)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find network namespace: %w", err)
	}
	var now RawPod
	if err := s.Pods.Lookup(slot, &now); err != nil {
		return false, fmt.Errorf("read slot %d: %w", slot, err)
	}
	if now.Id == 0 || now.Netns != p.Cookie {
		return false, nil
	}
	p.Slot, p.ID = slot, now.Id
	return true, nil
}

// unruled is what the pod has until the agent gives it rules.
func (p *Pod) unruled() RawAssignment {
	if p.Open {
		return RawAssignment{Pod: p.ID, Ruleset: RuleSetOpen}
	}
	return RawAssignment{Pod: p.ID, Ruleset: RuleSetClosed}
}

// enter makes addresses, network namespace and interface lead to the pod's slot.
func (s *State) enter(p Pod, put func(m *ebpf.Map, key, value any) error) error {
	if err := s.link(p); err != nil {
		return err
	}
	for _, a := range p.Addrs {
		if err := put(s.Owners, AddrKey(a), p.Slot); err != nil {
			return err
		}
	}
	if err := put(s.Netnses, p.Cookie, p.Slot); err != nil {
		return err
	}
	return put(s.Doors, p.IfIndex, RawDoorway{Mac: p.mac(), Slot: p.Slot, Nsid: p.NetnsID})
}

// mac is the pod's hardware address as doors hold it.
func (p *Pod) mac() uint64 {
	var b [8]byte
	if len(p.MAC) == 6 {
		copy(b[:], p.MAC)
	}
	return binary.LittleEndian.Uint64(b[:])
}

// AddCgroup makes a cgroup the pod's. One that is the pod's already keeps what the
// kernel has written there: the container that it belongs to.
func (s *State) AddCgroup(p Pod, id uint64) error {
	entry := RawCgroupPod{Slot: p.Slot, Pod: p.ID}
	err := s.Cgroups.Update(id, entry, ebpf.UpdateNoExist)
	if !errors.Is(err, ebpf.ErrKeyExist) {
		return failed(s.Cgroups, err)
	}
	var now RawCgroupPod
	if err := s.Cgroups.Lookup(id, &now); err == nil && now.Slot == p.Slot && now.Pod == p.ID {
		return nil
	}
	return put(s.Cgroups, id, entry)
}

// Live says whether the slot of p is still that of p.
func (s *State) Live(p Pod) (bool, error) {
	var now RawPod
	if err := s.Pods.Lookup(p.Slot, &now); err != nil {
		return false, fmt.Errorf("read slot %d: %w", p.Slot, err)
	}
	return p.ID != 0 && now.Id == p.ID && now.Netns == p.Cookie, nil
}

// Up says whether p is Live and its interface leads to it: one interface of a pod
// may go before the others.
func (s *State) Up(p Pod) (bool, error) {
	live, err := s.Live(p)
	if err != nil || !live {
		return false, err
	}
	var d RawDoorway
	err = s.Doors.Lookup(p.IfIndex, &d)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read door %d: %w", p.IfIndex, err)
	}
	return d.Slot == p.Slot, nil
}

// Restore enters what is missing of a pod that is Live, and leaves what is there,
// the rules too. The caller must hold the state folder's lock.
func (s *State) Restore(p Pod) error {
	var rules RawAssignment
	if err := s.Rules.Lookup(p.Slot, &rules); err != nil {
		return fmt.Errorf("read rules of slot %d: %w", p.Slot, err)
	}
	if rules.Pod != p.ID {
		if err := put(s.Rules, p.Slot, p.unruled()); err != nil {
			return err
		}
	}
	for _, id := range p.Cgroups {
		if err := putMissing(s.Cgroups, id, RawCgroupPod{Slot: p.Slot, Pod: p.ID}); err != nil {
			return err
		}
	}
	return s.enter(p, putMissing)
}

// Unregister removes the interface's entries, and with its last interface the pod
// and its slot. What another pod has taken over since, and what is gone already, is
// left alone. The caller must hold the state folder's lock.
func (s *State) Unregister(p Pod) error {
	var now RawPod
	if err := s.Pods.Lookup(p.Slot, &now); err != nil {
		return fmt.Errorf("read slot %d: %w", p.Slot, err)
	}
	if now.Id != p.ID && now.Id != 0 {
		return s.dropCgroups(p)
	}
	errs := []error{s.removeDoor(p.IfIndex, p.Slot)}
	for _, a := range p.Addrs {
		errs = append(errs, removeIf(s.Owners, AddrKey(a), p.Slot))
	}
	others, err := s.doorsOf(p.Slot)
	errs = append(errs, err)
	switch {
	case err != nil: // not known to be the last
	case len(others) != 0:
		if slices.Contains(now.Links[:], p.IfIndex) {
			errs = append(errs, put(s.Pods, p.Slot, RawPod{Id: now.Id, Links: linksOf(now, others), Netns: now.Netns}))
		}
	default:
		errs = append(errs, put(s.Pods, p.Slot, RawPod{}), put(s.Rules, p.Slot, RawAssignment{}),
			removeIf(s.Netnses, p.Cookie, p.Slot), s.dropCgroups(p))
	}
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
		doors, err := s.doorsOf(slot)
		errs = append(errs, err)
		for _, ifindex := range doors {
			errs = append(errs, s.removeDoor(ifindex, slot))
		}
		pod := Pod{Slot: slot, ID: p.Id, IfIndex: p.Links[0], Cookie: p.Netns, Addrs: s.owned(slot)}
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

func put(m *ebpf.Map, key, value any) error { return failed(m, m.Put(key, value)) }

// putMissing leaves an entry that is there.
func putMissing(m *ebpf.Map, key, value any) error {
	err := m.Update(key, value, ebpf.UpdateNoExist)
	if errors.Is(err, ebpf.ErrKeyExist) {
		return nil
	}
	return failed(m, err)
}

// failed tells why m could not be written.
func failed(m *ebpf.Map, err error) error {
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

// Check says which identity entry of the pod's interface is missing or another's.
func (s *State) Check(p Pod) error {
	live, err := s.Live(p)
	errs := []error{err}
	if !live {
		errs = append(errs, fmt.Errorf("slot %d does not hold the pod", p.Slot))
	}
	var d RawDoorway
	if err := s.Doors.Lookup(p.IfIndex, &d); err != nil || d.Slot != p.Slot || d.Mac != p.mac() {
		errs = append(errs, fmt.Errorf("interface %d does not lead to slot %d", p.IfIndex, p.Slot))
	}
	errs = append(errs, leads(s.Netnses, p.Cookie, p.Slot, "network namespace"))
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
