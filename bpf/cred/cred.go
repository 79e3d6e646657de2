// SPDX-License-Identifier: Apache-2.0

// Package cred kills a gain of privilege on the way out of the system call that
// brought it. Its program runs on every system call of the machine, so it is
// attached only while a policy asks for it.
package cred

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

const prog = credProgCredExit

// Load loads the program. The caller must close the collection.
func Load(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadCred()
	if err != nil {
		return nil, fmt.Errorf("read embedded cred: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("cred: %w", err)
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
