// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

// lowerReach fills in what a pod's frames may bear, and which addresses lead on to
// others.
func lowerReach(want Desired, r *raw) {
	for pod, prefixes := range want.Sources {
		for _, p := range prefixes {
			k := prefixKey(p)
			r.sources[state.RawSource{Len: k.Len + sourceBits, Pod: pod, Addr: k.Addr}] = 1
		}
	}
	for _, a := range want.Image.Services {
		r.services[state.AddrKey(a)] = 1
	}
	for _, p := range want.Image.NodePorts {
		r.nodePorts[state.RawNodePort{Port: p.Port, Protocol: uint8(p.Protocol)}] = 1
	}
	for _, a := range want.NodeAddrs {
		r.nodeAddrs[state.AddrKey(a)] = 1
	}
}

// sourceBits are those of the pod's id, before the address.
const sourceBits = 32

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
