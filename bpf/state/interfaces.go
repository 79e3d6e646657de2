// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
)

// podLinks is how many interfaces the kernel knows of a pod.
const podLinks = len(RawPod{}.Links)

// link has the kernel know the pod's interface, if it is one of the first.
func (s *State) link(p Pod) error {
	var now RawPod
	if err := s.Pods.Lookup(p.Slot, &now); err != nil {
		return fmt.Errorf("read slot %d: %w", p.Slot, err)
	}
	free := slices.Index(now.Links[:], 0)
	if free < 0 || slices.Contains(now.Links[:], p.IfIndex) {
		return nil
	}
	now.Links[free] = p.IfIndex
	return put(s.Pods, p.Slot, now)
}

// linksOf are the pod's first interfaces of those that are left.
func linksOf(p RawPod, left []uint32) (links [podLinks]uint32) {
	slices.SortFunc(left, func(a, b uint32) int { // those that were known, in their order, first
		return cmp.Or(cmp.Compare(place(p, a), place(p, b)), cmp.Compare(a, b))
	})
	copy(links[:], left)
	return links
}

func place(p RawPod, ifindex uint32) int {
	if i := slices.Index(p.Links[:], ifindex); i >= 0 {
		return i
	}
	return podLinks
}

// doorsOf lists the interfaces that lead to a slot.
func (s *State) doorsOf(slot uint32) ([]uint32, error) {
	var ifindex uint32
	var to RawDoorway
	var list []uint32
	it := s.Doors.Iterate()
	for it.Next(&ifindex, &to) {
		if to.Slot == slot {
			list = append(list, ifindex)
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("list doors: %w", err)
	}
	return list, nil
}

func (s *State) removeDoor(ifindex, slot uint32) error {
	var now RawDoorway
	if err := s.Doors.Lookup(ifindex, &now); err != nil || now.Slot != slot {
		return nil
	}
	if err := s.Doors.Delete(ifindex); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("clean map %s: %w", s.Doors, err)
	}
	return nil
}
