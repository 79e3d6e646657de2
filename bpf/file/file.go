// SPDX-License-Identifier: Apache-2.0

// Package file prevents uses of files that the pods' rules do not allow, where the
// kernel has BPF LSM.
package file

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// byOperation are the programs that each operation needs, by its number.
var byOperation = [...][]string{
	state.OpRead:      {fileProgLsmOpen, fileProgLsmReceive},
	state.OpWrite:     {fileProgLsmOpen, fileProgLsmReceive},
	state.OpCreate:    {fileProgLsmMknod, fileProgLsmMkdir, fileProgLsmSymlink},
	state.OpDelete:    {fileProgLsmUnlink, fileProgLsmRmdir},
	state.OpChmod:     {fileProgLsmChmod, fileProgLsmSetAcl, fileProgLsmRemoveAcl},
	state.OpChown:     {fileProgLsmChown},
	state.OpMmapExec:  {fileProgLsmMmap, fileProgLsmMprotect},
	state.OpTruncate:  {fileProgLsmTruncate, fileProgLsmFtruncate},
	state.OpRename:    nil,
	state.OpLink:      nil,
	state.OpMountOver: nil,
}

// always are the programs without which names may be taken from files, or given to
// others, before or after a rule is in force.
var always = []string{
	fileProgLsmRename, fileProgLsmLink, fileProgLsmMount, fileProgLsmMoveMount, fileProgLsmPivotRoot,
}

// Programs are those that rules on some operations need, given by bit; none need none.
func Programs(operations uint32) []string {
	if operations == 0 {
		return nil
	}
	names := slices.Clone(always)
	for i, needed := range byOperation {
		if operations>>i&1 != 0 {
			names = append(names, needed...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Load loads some of the programs. The caller must close the collection.
func Load(s *state.State, programs ...string) (*ebpf.Collection, error) {
	spec, err := loadFile()
	if err != nil {
		return nil, fmt.Errorf("read embedded file: %w", err)
	}
	for name := range spec.Programs {
		if !slices.Contains(programs, name) {
			delete(spec.Programs, name)
		}
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	return coll, nil
}

// Attach attaches and pins some of the programs, those that are not there.
func Attach(s *state.State, programs ...string) error {
	coll, err := Load(s, programs...)
	if err != nil {
		return err
	}
	defer coll.Close()
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
