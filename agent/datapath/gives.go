// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"slices"

	"github.com/sluice-io/sluice/bpf/capability"
	"github.com/sluice-io/sluice/bpf/lsm"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// Gives is what this node can do about acts that are not allowed.
func (d *Datapath) Gives() compile.Gives {
	lsm, files := d.noLSM == nil, d.noFiles == nil
	return compile.Gives{
		DenyExec: lsm, KillExec: true,
		DenyCapability: lsm, KillCapability: lsm || d.noCapabilities == nil,
		DenyFile: lsm && files, KillFile: files,
	}
}

// NoLSM is why acts cannot be denied here; nil: they can.
func (d *Datapath) NoLSM() error { return d.noLSM }

// NoCapabilities is why nobody is killed for a use of a capability without LSM; nil: they
// are.
func (d *Datapath) NoCapabilities() error { return d.noCapabilities }

// Acts are those that rules in force are about.
type Acts struct {
	Execs, Uses bool // Uses of capabilities
	Files       policy.Operations
}

// WatchActs attaches what judges execs before they happen, and uses of capabilities and
// of files, where the kernel has it.
func (d *Datapath) WatchActs(want Acts) error {
	if err := d.watchFiles(want.Files); err != nil {
		return err
	}
	if d.noLSM != nil {
		return d.watchUses(want.Uses)
	}
	var programs []string
	if want.Execs && !d.watched.Execs {
		programs = append(programs, lsm.Execs...)
	}
	if want.Uses && !d.watched.Uses {
		programs = append(programs, lsm.Uses...)
	}
	if len(programs) > 0 { // those that are attached are not loaded again: it takes long
		if err := lsm.Attach(d.state, programs...); err != nil {
			return err
		}
	}
	if want.Execs && !d.watched.Execs && d.noTouch == nil {
		if err := lsm.AttachTouch(d.state); err != nil {
			return err
		}
	}
	d.watched.Execs, d.watched.Uses = d.watched.Execs || want.Execs, d.watched.Uses || want.Uses
	return nil
}

// watchUses attaches what sees uses of capabilities without LSM, unless it did: to load it
// is to read the kernel's symbols.
func (d *Datapath) watchUses(want bool) error {
	seen := d.noCapabilities == nil || errors.Is(d.noCapabilities, capability.ErrBlind)
	if !want || d.watched.Uses || !seen {
		return nil
	}
	err := capability.Attach(d.state)
	d.watched.Uses = err == nil
	return err
}

// UnwatchActs detaches what is not wanted any more.
func (d *Datapath) UnwatchActs(want Acts) error {
	var errs []error
	if !want.Execs {
		errs = append(errs, lsm.Detach(d.state.Dir, slices.Concat(lsm.Execs, lsm.Touches)...))
	}
	if !want.Uses {
		errs = append(errs, lsm.Detach(d.state.Dir, lsm.Uses...), capability.Detach(d.state.Dir))
	}
	d.watched.Execs, d.watched.Uses = d.watched.Execs && want.Execs, d.watched.Uses && want.Uses
	return errors.Join(append(errs, d.unwatchFiles(want.Files))...)
}
