// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"

	"github.com/sluice-io/sluice/bpf/state"
)

// Tells is what leaves the kernel of pods' processes; the first exec of a container
// does in any case.
type Tells uint32

// The parts.
const (
	TellExec = Tells(state.TellExec)
	TellFork = Tells(state.TellFork)
	TellExit = Tells(state.TellExit)
	TellArgs = Tells(state.TellArgs) // of execs
)

// TellsOf is what has events of a type told, 0 for types that need rules.
func TellsOf(event string) Tells {
	return map[string]Tells{"exec": TellExec, "fork": TellFork, "exit": TellExit}[event]
}

// Subscribe has more told of the pod in a slot than of all; 0 ends that.
func (d *Datapath) Subscribe(slot uint32, t Tells) error {
	if err := d.state.Subscribed.Put(slot, uint32(t)); err != nil {
		return fmt.Errorf("subscribe to events of slot %d: %w", slot, err)
	}
	return nil
}

// unsubscribe ends what a former agent's readers asked for.
func (d *Datapath) unsubscribe() error {
	var slot, tells uint32
	it := d.state.Subscribed.Iterate()
	for it.Next(&slot, &tells) {
		if tells == 0 {
			continue
		}
		if err := d.Subscribe(slot, 0); err != nil {
			return err
		}
	}
	return it.Err()
}
