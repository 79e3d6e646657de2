// SPDX-License-Identifier: Apache-2.0

// Package capability kills or observes uses of capabilities on nodes without BPF LSM.
package capability

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

const prog = capabilityProgCapabilityUsed

// Load loads the program. The caller must close the collection.
func Load(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadCapability()
	if err != nil {
		return nil, fmt.Errorf("read embedded capability: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("capability: %w", err)
	}
	return coll, nil
}

// Attach attaches the program and pins its link, unless it is there.
func Attach(s *state.State) error {
	coll, err := Load(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	return state.Replace(s.Dir.Link(prog), coll.Programs[prog])
}

// Detach removes the link; a missing one is no error.
func Detach(dir state.Dir) error { return state.Unlink(dir.Link(prog)) }
