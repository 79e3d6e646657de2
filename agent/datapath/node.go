// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/state"
)

// AntiSpoofing says what becomes of frames that bear an address which is not the
// pod's own.
type AntiSpoofing uint8

// The modes; the values are those of the kernel's enum anti_spoofing.
const (
	SpoofEnforce AntiSpoofing = 0 // dropped
	SpoofAudit   AntiSpoofing = 1 // passed and counted
	SpoofOff     AntiSpoofing = 2
)

// settings changes what the programs know of the node; entries are read anew, for
// a former agent may have written them.
func (d *Datapath) settings(change func(*state.RawNode)) (before, now state.RawNode, err error) {
	d.node.Lock()
	defer d.node.Unlock()
	if err := d.state.Settings.Lookup(uint32(0), &before); err != nil {
		return before, now, fmt.Errorf("read description of node: %w", err)
	}
	now = before
	change(&now)
	if now == before {
		return before, now, nil
	}
	if err := d.state.Settings.Put(uint32(0), now); err != nil {
		return before, now, fmt.Errorf("describe node: %w", err)
	}
	return before, now, nil
}

// Clock renews what the programs know of the clocks, and says whether it changed:
// the offset is told to the kernel some time after boot, and at leap seconds.
func (d *Datapath) Clock() (changed bool, err error) {
	var tx unix.Timex
	if _, err := unix.Adjtimex(&tx); err != nil {
		return false, fmt.Errorf("read clock: %w", err)
	}
	before, now, err := d.settings(func(n *state.RawNode) { n.TaiOffset = uint64(tx.Tai) * 1e9 })
	return now.TaiOffset != before.TaiOffset, err
}

// describe tells the programs what they cannot find out, and how they are to act.
// The agent shows the node's mount namespace by process 1, or where it may not
// look there by itself.
func (d *Datapath) describe(c Config) error {
	var st unix.Stat_t
	if unix.Stat("/proc/1/ns/mnt", &st) != nil {
		if err := unix.Stat("/proc/self/ns/mnt", &st); err != nil {
			return fmt.Errorf("find mount namespace: %w", err)
		}
	}
	if _, err := d.Clock(); err != nil {
		return err
	}
	_, _, err := d.settings(func(n *state.RawNode) {
		n.HostMntNs = uint32(st.Ino)
		n.AntiSpoofing = uint8(c.AntiSpoofing)
		n.Keep = flag(c.Keep)
		n.Tells = uint8(c.Tells)
	})
	return err
}

// Spare lets everything through until span has passed, from when on the kernel
// enforces again by itself; 0 ends it now.
func (d *Datapath) Spare(span time.Duration) error {
	until := uint64(0)
	if span > 0 {
		now, err := bootTime()
		if err != nil {
			return err
		}
		until = uint64((now + span).Nanoseconds())
	}
	_, _, err := d.settings(func(n *state.RawNode) { n.OffUntil = until })
	return err
}

// Spared is how long everything will still be let through, 0 if it is not.
func (d *Datapath) Spared() (time.Duration, error) {
	_, n, err := d.settings(func(*state.RawNode) {})
	if err != nil || n.OffUntil == 0 {
		return 0, err
	}
	now, err := bootTime()
	return max(0, time.Duration(n.OffUntil)-now), err
}

// bootTime is CLOCK_BOOTTIME.
func bootTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}
