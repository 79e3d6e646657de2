// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// Tally is how often a rule of a pod came to an outcome. Pods and rules are ids.
type Tally struct {
	Pod, Rule uint32
	Type      string // of the acts, as of their events
	Outcome   string
	Acts      uint64
	Held      uint64 // of these, told by no event: there were too many
}

// Tallies lists what the kernel has counted of acts that rules do not allow.
func (d *Datapath) Tallies() ([]Tally, error) {
	var k state.RawTallyKey
	var each []state.RawTally
	var out []Tally
	it := d.state.Tallies.Iterate()
	for it.Next(&k, &each) {
		t := Tally{Pod: k.Pod, Rule: k.Rule, Type: state.Act(uint32(k.Kind)), Outcome: state.Outcome(uint32(k.Outcome))}
		for _, cpu := range each {
			t.Acts += cpu.Acts
			t.Held += cpu.Held
		}
		out = append(out, t)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("list tallies: %w", err)
	}
	return out, nil
}

// ForgetActs drops what the kernel counted of pods that are gone.
func (d *Datapath) ForgetActs(gone func(pod uint32) bool) error {
	return forget(d.state.Tallies, new([]state.RawTally), func(k state.RawTallyKey) bool { return gone(k.Pod) })
}

// ForgetTouched drops what the kernel noted of the programs of containers that are gone.
func (d *Datapath) ForgetTouched() error {
	gone := make(map[uint64]bool) // each container is asked for once
	return forget(d.state.Touched, new(state.RawTouchedAt), func(k state.RawTouchedKey) bool {
		if _, known := gone[k.Container]; !known {
			var c state.RawContainer
			gone[k.Container] = errors.Is(d.state.Containers.Lookup(k.Container, &c), ebpf.ErrKeyNotExist)
		}
		return gone[k.Container]
	})
}

// forget deletes the entries of a map whose keys say so; value has its type.
func forget[K any](m *ebpf.Map, value any, gone func(K) bool) error {
	var k K
	var keys []K
	it := m.Iterate()
	for it.Next(&k, value) {
		if gone(k) {
			keys = append(keys, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("list map %s: %w", name(m), err)
	}
	for _, k := range keys {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("clean map %s: %w", name(m), err)
		}
	}
	return nil
}
