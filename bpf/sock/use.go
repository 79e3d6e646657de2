// SPDX-License-Identifier: Apache-2.0

package sock

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

var useProgs = [...]string{useProgUseSend, useProgUseRecv}

// LoadUse loads the programs that see who uses a connected socket. The caller must
// close the collection.
func LoadUse(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadUse()
	if err != nil {
		return nil, fmt.Errorf("read embedded use: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("use: %w", err)
	}
	return coll, nil
}

// AttachUse attaches them and pins their links, unless they are there. They run on
// every send and receive of the machine.
func AttachUse(s *state.State) error {
	coll, err := LoadUse(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	for _, name := range useProgs {
		if err := state.Replace(s.Dir.Link(name), coll.Programs[name]); err != nil {
			return err
		}
	}
	return nil
}

// DetachUse removes their links; missing ones are no error.
func DetachUse(dir state.Dir) error {
	for _, name := range useProgs {
		if err := state.Unlink(dir.Link(name)); err != nil {
			return err
		}
	}
	return nil
}
