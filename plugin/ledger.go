// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/gate"
	"github.com/sluice-io/sluice/bpf/sock"
	"github.com/sluice-io/sluice/bpf/state"
)

// ledger is the records of the attached pods and the kernel's tables of them, both
// locked against other runs and the agent.
type ledger struct {
	dir     state.Dir
	records *rpc.Attachments
	kernel  *state.State // nil: there are no pins
	unlock  func()
}

// openLedger waits for the lock until ctx ends. The caller must close the ledger.
func openLedger(ctx context.Context, c *conf) (*ledger, error) {
	records, err := rpc.OpenAttachments(c.StateDir)
	if err != nil {
		return nil, err
	}
	unlock, err := records.Lock(ctx)
	if err != nil {
		return nil, err
	}
	l := &ledger{dir: state.Dir(c.Bpffs), records: records, unlock: unlock}
	l.kernel, err = state.Open(l.dir)
	if err != nil && !errors.Is(err, state.ErrNotInstalled) {
		unlock()
		return nil, err
	}
	return l, nil
}

func (l *ledger) close() {
	if l.kernel != nil {
		l.kernel.Close()
	}
	l.unlock()
}

// identity is the pod of a record, as the kernel knows it.
func identity(a *rpc.Attachment) state.Pod {
	p := state.Pod{
		Slot: a.Slot, ID: a.PodID, IfIndex: uint32(a.HostIfIndex), MAC: a.HardwareAddr(), NetnsID: a.NetnsID,
		Cookie: a.Cookie, Addrs: a.IPs, Open: a.Open,
	}
	if a.CgroupID != 0 {
		p.Cgroups = []uint64{a.CgroupID}
	}
	return p
}

func cgroupOf(a *rpc.Attachment) gate.Cgroup { return gate.Cgroup{Path: a.Cgroup, ID: a.CgroupID} }

// enter puts up the gate of a new attachment and writes its record, both or
// neither. Without pins it writes the record alone: the agent adopts the pod.
func (l *ledger) enter(a *rpc.Attachment) (err error) {
	if l.kernel == nil {
		return l.records.Put(a)
	}
	p := identity(a)
	if err := gate.Up(l.kernel, a.Key(), &p, cgroupOf(a)); err != nil {
		return err
	}
	a.Slot, a.PodID = p.Slot, p.ID
	defer func() {
		if err != nil {
			err = errors.Join(err, gate.Down(l.kernel, a.Key(), p))
		}
	}()
	if a.Cgroup != "" {
		if err := adoptCgroups(l.kernel, p, a.Cgroup); err != nil {
			return err
		}
	}
	return l.records.Put(a)
}

// standing is the record of an earlier ADD, nil if there is none to be read, and
// whether anything of it stands.
func (l *ledger) standing(key string) (*rpc.Attachment, bool) {
	_, missing := os.Stat(l.dir.Pod(key))
	old, err := l.records.Get(key)
	if err != nil {
		return nil, missing == nil
	}
	return old, true
}

// same says whether an earlier ADD registered the same pod with the same interface
// and cgroup, so that there is nothing to take down.
func (l *ledger) same(old, a *rpc.Attachment) bool {
	if old == nil || l.kernel == nil {
		return false
	}
	was, now := *old, *a
	for _, r := range []*rpc.Attachment{&was, &now} { // what no kernel table holds, or a gives
		r.Network, r.Netns, r.Created, r.Slot, r.PodID = "", "", time.Time{}, 0, 0
	}
	live, err := l.kernel.Live(identity(old))
	return err == nil && live && reflect.DeepEqual(was, now)
}

// mend puts back what is missing of a pod that is registered and writes its record;
// rules and connections are kept.
func (l *ledger) mend(a *rpc.Attachment) error {
	p := identity(a)
	if err := gate.Mend(l.kernel, a.Key(), p, cgroupOf(a)); err != nil {
		return err
	}
	if a.Cgroup != "" {
		if err := adoptCgroups(l.kernel, p, a.Cgroup); err != nil {
			return err
		}
	}
	return l.records.Put(a)
}

// replace enters a in the place of what an earlier ADD has left. If that fails the
// interface is down.
func (l *ledger) replace(old, a *rpc.Attachment) error {
	var err error
	if old != nil && l.kernel != nil && old.HostIfIndex == a.HostIfIndex {
		err = l.exchange(old, a)
	} else {
		err = l.renew(old, a)
	}
	if err == nil && old != nil && old.Cgroup != a.Cgroup {
		err = l.releaseCgroup(old)
	}
	return err
}

// renew takes down what stands under the key of a, and enters a.
func (l *ledger) renew(old, a *rpc.Attachment) error {
	if old != nil && old.HostIfIndex != a.HostIfIndex {
		silence(old)
	}
	err := errors.Join(l.takeDown(old, a.Key()), l.records.Delete(a.Key()))
	if err == nil {
		err = l.enter(a)
	}
	if err != nil {
		silence(a)
	}
	return err
}

// exchange gives an interface to another pod. The door stays: to nobody's interface
// it lets nothing by.
func (l *ledger) exchange(old, a *rpc.Attachment) error {
	p := identity(a)
	err := l.kernel.Unregister(identity(old))
	if err == nil {
		err = l.kernel.Register(&p)
	}
	if err == nil {
		a.Slot, a.PodID = p.Slot, p.ID
		err = l.mend(a)
	}
	if err != nil {
		silence(a)
		return errors.Join(err, gate.Down(l.kernel, a.Key(), p), l.records.Delete(a.Key()))
	}
	return nil
}

// watchLate makes sure that sockets are watched in a cgroup that is made later.
func (l *ledger) watchLate(c *conf, a *rpc.Attachment) error {
	if l.kernel == nil || a.Cgroup != "" {
		return nil
	}
	root, err := cgroupRoot(c.CgroupRoot)
	if err != nil {
		return err
	}
	return sock.AttachRoot(l.dir, root)
}

// forget takes down the gate of an attachment and removes its record; what is gone
// already is no error.
func (l *ledger) forget(key string) error {
	a, _ := l.standing(key)
	if err := l.takeDown(a, key); err != nil {
		return err
	}
	if a != nil {
		if err := l.releaseCgroup(a); err != nil {
			return err
		}
	}
	return l.records.Delete(key)
}

// takeDown detaches what hangs under key and frees the identity of its record a, if
// there is one. A record without pins may be from before a reboot: another pod may
// have its slot and id by now.
func (l *ledger) takeDown(a *rpc.Attachment, key string) error {
	_, err := os.Stat(l.dir.Pod(key))
	if a != nil && l.kernel != nil && err == nil {
		return gate.Down(l.kernel, key, identity(a))
	}
	return gate.Detach(l.dir, key)
}

// releaseCgroup removes a pod's folder if this plugin made it, nobody uses it and
// no other interface of the pod has its programs there.
func (l *ledger) releaseCgroup(a *rpc.Attachment) error {
	if !isMade(a.Cgroup) {
		return nil
	}
	records, _ := l.records.List() // what cannot be read must not keep this pod
	for _, other := range records {
		if other.Cgroup == a.Cgroup && other.Key() != a.Key() {
			return nil
		}
	}
	return removeMade(a.Cgroup)
}

// sweep forgets what a network has but what keep names, and returns the records it
// forgot. Pins without a record are nobody's and go too. It goes on after an error.
func (l *ledger) sweep(network string, keep map[string]bool) ([]*rpc.Attachment, error) {
	records, err := l.records.List()
	errs := []error{err}
	var gone []*rpc.Attachment
	for _, a := range records {
		if keep[a.Key()] || a.Network != network {
			keep[a.Key()] = true
			continue
		}
		silence(a)
		errs = append(errs, l.forget(a.Key()))
		gone = append(gone, a)
	}
	pins, err := os.ReadDir(filepath.Dir(l.dir.Pod("-")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("list pins: %w", err))
	}
	for _, e := range pins {
		if !keep[e.Name()] {
			errs = append(errs, gate.Detach(l.dir, e.Name()))
		}
	}
	return gone, errors.Join(errs...)
}
