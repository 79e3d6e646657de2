// SPDX-License-Identifier: Apache-2.0

// Package process keeps one record per process of a pod, assigns cgroups to pods
// and containers, and kills a gain of privilege at exec.
package process

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// Load loads the programs. The caller must close the collection.
func Load(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadProcess()
	if err != nil {
		return nil, fmt.Errorf("read embedded process: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	return coll, nil
}

// LoadScript loads the program that tells scripts from their interpreters. The
// caller must close the collection.
func LoadScript(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadScript()
	if err != nil {
		return nil, fmt.Errorf("read embedded script: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("script: %w", err)
	}
	return coll, nil
}

// InstallScript does for LoadScript's program what Install does for the others.
func InstallScript(s *state.State) error {
	coll, err := LoadScript(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	return state.Replace(s.Dir.Link(scriptProgScriptExec), coll.Programs[scriptProgScriptExec])
}

// RemoveScript detaches it; if it is not there that is no error.
func RemoveScript(dir state.Dir) error { return state.Unlink(dir.Link(scriptProgScriptExec)) }

// Install loads, attaches and pins the programs. Tracing links cannot be updated:
// one with other instructions is replaced, the new one first.
func Install(s *state.State) error {
	coll, err := Load(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	for name, p := range coll.Programs {
		if err := state.Replace(s.Dir.Link(name), p); err != nil {
			return err
		}
	}
	return nil
}
