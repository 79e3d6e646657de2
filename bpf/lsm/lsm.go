// SPDX-License-Identifier: Apache-2.0

// Package lsm prevents what the pods' rules do not allow, where the kernel has BPF LSM:
// an exec, or the use of a capability, fails with EPERM.
package lsm

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/bpf/state"
)

// Load loads the programs. The caller must close the collection.
func Load(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadLsm()
	if err != nil {
		return nil, fmt.Errorf("read embedded lsm: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("lsm: %w", err)
	}
	return coll, nil
}

// Try says why the programs would not run: the kernel refuses them, or has BPF LSM and
// does not use it.
func Try(s *state.State) error {
	coll, err := Load(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: coll.Programs[lsmProgLsmTrial]})
	if err != nil {
		return fmt.Errorf("attach lsm: %w", err)
	}
	defer l.Close()
	if _, err := syscall.Getpgid(syscall.Getpid()); err != nil {
		return fmt.Errorf("try lsm: %w", err)
	}
	var trials uint64
	if err := coll.Variables[lsmVarTrials].Get(&trials); err != nil {
		return fmt.Errorf("read lsm: %w", err)
	}
	if trials == 0 {
		return errors.New("BPF LSM is not in use: add bpf to lsm= on the kernel's command line")
	}
	return nil
}

// Execs and Uses are the programs on execs and on uses of capabilities.
var (
	Execs = []string{lsmProgLsmExecBegins, lsmProgLsmExec}
	Uses  = []string{lsmProgLsmCapable}
)

// Attach attaches and pins some of the programs, those that are not there.
func Attach(s *state.State, programs ...string) error {
	coll, err := Load(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	return attach(s, coll, programs...)
}

func attach(s *state.State, coll *ebpf.Collection, programs ...string) error {
	for _, name := range programs {
		if err := state.Replace(s.Dir.Link(name), coll.Programs[name]); err != nil {
			return err
		}
	}
	return nil
}

// Detach detaches some of the programs; if they are not there that is no error.
func Detach(dir state.Dir, programs ...string) error {
	var errs []error
	for _, name := range programs {
		errs = append(errs, state.Unlink(dir.Link(name)))
	}
	return errors.Join(errs...)
}
