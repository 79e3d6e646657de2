// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"

	"github.com/sluice-io/sluice/bpf/capability"
	"github.com/sluice-io/sluice/bpf/lsm"
	"github.com/sluice-io/sluice/policy/compile"
)

// Gives is what this node can do about acts that are not allowed.
func (d *Datapath) Gives() compile.Gives {
	lsm := d.noLSM == nil
	return compile.Gives{
		DenyExec: lsm, KillExec: true,
		DenyCapability: lsm, KillCapability: lsm || d.noCapabilities == nil,
	}
}

// NoLSM is why acts cannot be denied here; nil: they can.
func (d *Datapath) NoLSM() error { return d.noLSM }

// NoCapabilities is why nobody is killed for a use of a capability without LSM; nil: they
// are.
func (d *Datapath) NoCapabilities() error { return d.noCapabilities }

// WatchActs attaches what judges execs before they happen, and uses of capabilities,
// where the kernel has it.
func (d *Datapath) WatchActs(execs, uses bool) error {
	var programs []string
	if execs {
		programs = append(programs, lsm.Execs...)
	}
	if uses {
		programs = append(programs, lsm.Uses...)
	}
	switch {
	case d.noLSM == nil && len(programs) > 0:
		return lsm.Attach(d.state, programs...)
	case d.noLSM != nil && uses && (d.noCapabilities == nil || errors.Is(d.noCapabilities, capability.ErrBlind)):
		return capability.Attach(d.state)
	}
	return nil
}

// UnwatchActs detaches what is not wanted any more.
func (d *Datapath) UnwatchActs(execs, uses bool) error {
	var errs []error
	if execs {
		errs = append(errs, lsm.Detach(d.state.Dir, lsm.Execs...))
	}
	if uses {
		errs = append(errs, lsm.Detach(d.state.Dir, lsm.Uses...), capability.Detach(d.state.Dir))
	}
	return errors.Join(errs...)
}
