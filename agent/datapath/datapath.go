// SPDX-License-Identifier: Apache-2.0

// Package datapath is the agent's hold on the kernel: it installs the programs,
// brings the policy maps to a compile.Image, finds the files that process rules
// name, and reads flows and events. It speaks ids and addresses; package engine
// gives them names.
package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/capability"
	"github.com/sluice-io/sluice/bpf/cred"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/gate"
	"github.com/sluice-io/sluice/bpf/lsm"
	"github.com/sluice-io/sluice/bpf/nat"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/sock"
	"github.com/sluice-io/sluice/bpf/state"
)

// ErrNoFit says that a kernel map has no room for the change. The maps mean what
// they meant before.
var ErrNoFit = errors.New("does not fit into the kernel's maps")

// Config says where the instance lives and how large its maps are.
type Config struct {
	BPFFS        string // pin folder; a bpf filesystem is mounted there if there is none
	Sizes        state.Sizes
	Flows        door.Config
	AntiSpoofing AntiSpoofing
	Keep         bool // established connections outlive a change of rules
	Tells        Tells
	// NoNetfilter leaves the point after DNAT out.
	NoNetfilter bool
	// NoSyscalls leaves the program out that sees opens without LSM: it would run on every
	// system call.
	NoSyscalls bool
	// NoSockets leaves the programs out that see who uses a connected socket.
	NoSockets bool
	// NoLSM leaves prevention by BPF LSM out.
	NoLSM bool
	// NoScripts leaves the program out that tells scripts from their interpreters.
	NoScripts bool
}

// Datapath is one instance's kernel side. It is not safe for concurrent use, but
// for the readers (Flows, Watch, Counters). The caller must Close it; enforcement
// stays.
type Datapath struct {
	state     *state.State
	tables    tables
	deferring map[uint32]uint32 // slots, and the pods in them, whose flows may be deferred
	node      sync.Mutex
	noNat     error // why there is no point after DNAT; nil: there is
	noUse     error // why nobody sees who uses a socket; nil: it is seen
	noScripts error // why scripts cannot be told; nil: they can
	noLSM     error // why acts cannot be denied; nil: they can
	// noCapabilities is why nobody is killed for a use of a capability without LSM; nil:
	// they are. Unless it is capability.ErrBlind uses are not seen either.
	noCapabilities error
	noFiles        error // why no use of a file is seen; nil: some are
	noTouch        error // why a program that is touched counts as changed; nil: it does not
	watched        Acts  // what is attached for, since this agent began
	tasks          tasks
	sync           chan chan struct{} // asks the watcher for a round at once
}

// Open installs programs and maps, or adopts and updates those that are pinned.
// Flows, identities and verdicts are kept.
func Open(c Config) (*Datapath, error) {
	if err := ownPIDs(); err != nil {
		return nil, err
	}
	if err := mountBPF(c.BPFFS); err != nil {
		return nil, err
	}
	s, err := state.Create(state.Dir(c.BPFFS), c.Sizes)
	if err != nil {
		return nil, err
	}
	d := &Datapath{state: s, sync: make(chan chan struct{})}
	for _, install := range []func() error{
		func() error { return d.describe(c) },
		func() error { return process.Install(s) },
		d.tasks.open(s),
		d.unsubscribe,
		func() error { return sock.Install(s, c.Flows) },
		func() error { return door.Install(s, c.Flows) },
		func() error { return d.tables.open(s) },
		d.readDeferring,
	} {
		if err := install(); err != nil {
			d.Close()
			return nil, err
		}
	}
	if err := d.installOptional(c); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

var errSwitchedOff = errors.New("switched off by --disable")

// installOptional installs what a kernel may not have and a user may not want; what
// a former agent has left of it goes.
func (d *Datapath) installOptional(c Config) error {
	d.noScripts, d.noNat, d.noUse = errSwitchedOff, errSwitchedOff, errSwitchedOff
	d.noLSM = errSwitchedOff
	d.noCapabilities = capability.Try(d.state)
	if !c.NoLSM {
		d.noLSM = lsm.Try(d.state)
	}
	if d.noTouch = d.noLSM; d.noLSM == nil {
		d.noTouch = load(func() (*ebpf.Collection, error) { return lsm.LoadTouch(d.state) })
	}
	d.noFiles = d.tryFiles(c.NoSyscalls)
	if !c.NoScripts {
		d.noScripts = process.InstallScript(d.state)
	}
	if !c.NoNetfilter {
		d.noNat = nat.Install(d.state, c.Flows)
	}
	if !c.NoSockets {
		d.noUse = d.tryUse()
	}
	var errs []error
	if d.noLSM != nil {
		errs = append(errs, lsm.Detach(d.state.Dir, slices.Concat(lsm.Execs, lsm.Uses, lsm.Touches)...))
	}
	if d.noScripts != nil {
		errs = append(errs, process.RemoveScript(d.state.Dir))
	}
	if d.noNat != nil {
		// First nothing is deferred any more.
		errs = append(errs, d.deferFor(nil), nat.Remove(d.state.Dir))
	}
	return errors.Join(errs...)
}

// tryUse says why the programs on sends and receives cannot be loaded.
func (d *Datapath) tryUse() error {
	coll, err := sock.LoadUse(d.state)
	if err != nil {
		return err
	}
	coll.Close()
	return nil
}

// State gives the maps, for registering pods.
func (d *Datapath) State() *state.State { return d.state }

// Close lets go of the maps; pins and enforcement stay.
func (d *Datapath) Close() error { return errors.Join(d.tasks.close(), d.state.Close()) }

// WatchPrivileges attaches or detaches the program on every system call.
func (d *Datapath) WatchPrivileges(on bool) error {
	if on {
		return cred.Attach(d.state)
	}
	return cred.Detach(d.state.Dir)
}

// WatchSockets attaches or detaches the programs on every send and receive. Where
// the kernel has them not, or a user wants them not, it does nothing.
func (d *Datapath) WatchSockets(on bool) error {
	if on && d.noUse == nil {
		return sock.AttachUse(d.state)
	}
	return sock.DetachUse(d.state.Dir)
}

// Uninstall removes every pin under dir, and with them what is attached, and
// unmounts the bpf filesystem if the folder is its root. Nothing there is no error.
func Uninstall(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "maps")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	keys, err := os.ReadDir(filepath.Join(dir, "pods"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list pods: %w", err)
	}
	var errs []error
	for _, k := range keys {
		errs = append(errs, gate.Detach(state.Dir(dir), k.Name()))
	}
	for _, sub := range []string{"links", "progs", "maps", "pods"} {
		errs = append(errs, clear(filepath.Join(dir, sub)))
	}
	errs = append(errs, unmountBPF(dir))
	return errors.Join(errs...)
}

// clear removes a folder of pins.
func clear(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	return nil
}
