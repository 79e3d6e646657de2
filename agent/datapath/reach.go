// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

// deferFor says which pods' flows may be left to the point after DNAT; those of all
// others are judged at the door, as they were dialled.
func (d *Datapath) deferFor(pods map[uint32]uint32) error {
	for slot := range d.state.Deferrals.MaxEntries() {
		if d.deferring[slot] == pods[slot] {
			continue
		}
		if err := d.state.Deferrals.Put(slot, pods[slot]); err != nil {
			return fmt.Errorf("write map deferrals: %w", err)
		}
		d.deferring[slot] = pods[slot]
	}
	return nil
}

// readDeferring learns what a former agent wrote.
func (d *Datapath) readDeferring() error {
	d.deferring = make(map[uint32]uint32)
	var slot, pod uint32
	it := d.state.Deferrals.Iterate()
	for it.Next(&slot, &pod) {
		if pod != 0 {
			d.deferring[slot] = pod
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map deferrals: %w", err)
	}
	return nil
}

// Depart has the flows judged anew that lead to addresses which changed hands: what
// an address was allowed does not pass to its next owner.
func (d *Datapath) Depart(addrs []netip.Addr) error {
	for _, a := range addrs {
		if err := d.state.Departed.Put(state.AddrKey(a), uint32(1)); err != nil {
			return fmt.Errorf("write map departed: %w", err)
		}
	}
	err := door.Depart(d.state.Dir)
	for _, a := range addrs {
		err = errors.Join(err, d.state.Departed.Delete(state.AddrKey(a)))
	}
	return err
}
