// SPDX-License-Identifier: Apache-2.0

// Package capability kills or observes uses of capabilities on nodes without BPF LSM.
package capability

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/bpf/state"
)

const prog = capabilityProgCapabilityUsed

// ErrBlind says that uses are seen, but not whether the kernel asked in passing: nobody
// is killed for one.
var ErrBlind = errors.New("the kernel does not show which function asks for a capability (kernel.kptr_restrict?)")

// Load loads the programs. The caller must close the collection.
func Load(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadCapability()
	if err != nil {
		return nil, fmt.Errorf("read embedded capability: %w", err)
	}
	found, err := findAskers()
	if err != nil {
		return nil, fmt.Errorf("capability: %w", err)
	}
	var spans [16]capabilitySpan // ASKERS
	copy(spans[:], found)
	if err := spec.Variables[capabilityVarAskers].Set(spans); err != nil {
		return nil, fmt.Errorf("capability: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("capability: %w", err)
	}
	return coll, nil
}

// Try says why uses cannot be seen, ErrBlind if they can but nobody is killed for one.
func Try(s *state.State) error {
	coll, err := Load(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: coll.Programs[capabilityProgCapabilityTrial]})
	if err != nil {
		return fmt.Errorf("attach capability: %w", err)
	}
	defer l.Close()
	// Asks for NET_RAW; of protocol 0 the socket receives nothing.
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("try capability: %w", err)
	}
	syscall.Close(fd)
	var trials uint64
	if err := coll.Variables[capabilityVarTrials].Get(&trials); err != nil {
		return fmt.Errorf("read capability: %w", err)
	}
	if trials == 0 {
		return ErrBlind
	}
	return nil
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
