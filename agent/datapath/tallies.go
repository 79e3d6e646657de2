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

// ForgetTallies drops those of pods that are gone.
func (d *Datapath) ForgetTallies(gone func(pod uint32) bool) error {
	var k state.RawTallyKey
	var each []state.RawTally
	var keys []state.RawTallyKey
	it := d.state.Tallies.Iterate()
	for it.Next(&k, &each) {
		if gone(k.Pod) {
			keys = append(keys, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("list tallies: %w", err)
	}
	for _, k := range keys {
		if err := d.state.Tallies.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget tallies: %w", err)
		}
	}
	return nil
}
