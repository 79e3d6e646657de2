// SPDX-License-Identifier: Apache-2.0

package file

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// Opened are the operations that AttachOpened's program sees, by bit, and only as far
// as they are part of an open. What is created is there by then.
const Opened uint32 = 1<<state.OpRead | 1<<state.OpWrite | 1<<state.OpCreate

// LoadOpened loads the program that observes or kills opens on nodes without BPF LSM.
// The caller must close the collection.
func LoadOpened(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadOpened()
	if err != nil {
		return nil, fmt.Errorf("read embedded opened: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("opened: %w", err)
	}
	return coll, nil
}

// AttachOpened attaches that program and pins its link, unless it is there. It runs on
// every system call of the machine.
func AttachOpened(s *state.State) error {
	coll, err := LoadOpened(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	return state.Replace(s.Dir.Link(openedProgFileOpened), coll.Programs[openedProgFileOpened])
}

// DetachOpened removes the link; a missing one is no error.
func DetachOpened(dir state.Dir) error { return state.Unlink(dir.Link(openedProgFileOpened)) }
