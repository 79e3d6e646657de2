// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/file"
	"github.com/sluice-io/sluice/policy"
)

// NoFiles is why no use of a file is seen; nil: those of SeenUses are.
func (d *Datapath) NoFiles() error { return d.noFiles }

// SeenUses are the uses of files that this node sees: all of them with LSM, else those
// that are part of an open.
func (d *Datapath) SeenUses() policy.Operations {
	switch {
	case d.noFiles != nil:
		return 0
	case d.noLSM != nil:
		return policy.Operations(file.Opened)
	}
	return policy.EveryOperation
}

// tryFiles says why no use of a file can be seen.
func (d *Datapath) tryFiles(noSyscalls bool) error {
	switch {
	case d.noLSM == nil:
		return load(func() (*ebpf.Collection, error) { return file.Load(d.state, preventing(policy.EveryOperation)...) })
	case noSyscalls:
		return errSwitchedOff
	}
	return load(func() (*ebpf.Collection, error) { return file.LoadOpened(d.state) })
}

// preventing are the programs that judge some uses with LSM.
func preventing(uses policy.Operations) []string { return file.Programs(uint32(uses)) }

// watchFiles attaches what judges some uses of files, unless it did: to load it takes
// long.
func (d *Datapath) watchFiles(want policy.Operations) error {
	want &= d.SeenUses()
	if want&^d.watched.Files == 0 {
		return nil
	}
	err := d.attachFiles(want)
	if err == nil {
		d.watched.Files |= want
	}
	return err
}

func (d *Datapath) attachFiles(want policy.Operations) error {
	if d.noLSM != nil {
		return file.AttachOpened(d.state)
	}
	return file.Attach(d.state, preventing(want)...)
}

// unwatchFiles detaches what is not wanted any more, and what this node does not use.
func (d *Datapath) unwatchFiles(want policy.Operations) error {
	want &= d.SeenUses()
	d.watched.Files &= want
	var errs []error
	if want == 0 || d.noLSM == nil {
		errs = append(errs, file.DetachOpened(d.state.Dir))
	}
	var needed []string
	if d.noLSM == nil {
		needed = preventing(want)
	}
	idle := slices.DeleteFunc(preventing(policy.EveryOperation), func(name string) bool { return slices.Contains(needed, name) })
	return errors.Join(append(errs, file.Detach(d.state.Dir, idle...))...)
}
