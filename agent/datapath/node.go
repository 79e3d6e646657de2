// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/state"
)

// Clock renews what the programs know of the clocks, and says whether it changed:
// the offset is told to the kernel some time after boot, and at leap seconds.
func (d *Datapath) Clock() (changed bool, err error) {
	var before, now state.RawNode
	if err := d.state.Settings.Lookup(uint32(0), &before); err != nil {
		return false, fmt.Errorf("read description of node: %w", err)
	}
	if err := describeNode(d.state); err != nil {
		return false, err
	}
	if err := d.state.Settings.Lookup(uint32(0), &now); err != nil {
		return false, fmt.Errorf("read description of node: %w", err)
	}
	return now.TaiOffset != before.TaiOffset, nil
}

// describeNode tells the programs what they cannot find out: which mount namespace
// is the node's, and how far apart two clocks are. The agent shows the node's by
// process 1, or where it may not look there by itself.
func describeNode(s *state.State) error {
	var tx unix.Timex
	if _, err := unix.Adjtimex(&tx); err != nil {
		return fmt.Errorf("read clock: %w", err)
	}
	var st unix.Stat_t
	if unix.Stat("/proc/1/ns/mnt", &st) != nil {
		if err := unix.Stat("/proc/self/ns/mnt", &st); err != nil {
			return fmt.Errorf("find mount namespace: %w", err)
		}
	}
	node := state.RawNode{TaiOffset: uint64(tx.Tai) * 1e9, HostMntNs: uint32(st.Ino)}
	if err := s.Settings.Put(uint32(0), node); err != nil {
		return fmt.Errorf("describe node: %w", err)
	}
	return nil
}
