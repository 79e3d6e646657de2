// SPDX-License-Identifier: Apache-2.0

// Package gate puts up and takes down all that hangs at one pod: its identity,
// its door and the socket programs on its cgroup. It works from the pins alone,
// so that the plugin needs no agent.
package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/sock"
	"github.com/sluice-io/sluice/bpf/state"
)

// Cgroup is a cgroup v2 folder and its id, the folder's inode number.
type Cgroup struct {
	Path string
	ID   uint64
}

// Up registers the pod and attaches its programs under key; Slot and ID of p are
// set. The caller must hold the state folder's lock and run in the network
// namespace of the interface. On error nothing is left attached.
func Up(s *state.State, key string, p *state.Pod, cgroup Cgroup) (err error) {
	if err := s.Register(p); err != nil {
		return fmt.Errorf("register pod: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Down(s, key, *p))
		}
	}()
	return attach(s.Dir, key, *p, cgroup)
}

// Mend puts back what is missing of a pod that is registered; what is there works
// on meanwhile, and the pod keeps its Slot and ID. The caller must hold the state
// folder's lock and run in the network namespace of the interface.
func Mend(s *state.State, key string, p state.Pod, cgroup Cgroup) error {
	if err := s.Restore(p); err != nil {
		return fmt.Errorf("restore pod: %w", err)
	}
	return attach(s.Dir, key, p, cgroup)
}

func attach(dir state.Dir, key string, p state.Pod, cgroup Cgroup) error {
	if err := door.Attach(dir, key, int(p.IfIndex)); err != nil {
		return err
	}
	if cgroup.Path == "" {
		return nil
	}
	return sock.Attach(dir, key, cgroup.Path, cgroup.ID)
}

// Down detaches the programs of the pod's interface, and frees the pod's identity
// if it has no other; what is gone already is no error. The caller must hold the
// state folder's lock.
func Down(s *state.State, key string, p state.Pod) error {
	return errors.Join(Detach(s.Dir, key), s.Unregister(p))
}

// Detach removes the links under key and with them what is attached.
func Detach(dir state.Dir, key string) error {
	folder := dir.Pod(key)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, detach(folder+"/"+e.Name()))
	}
	if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("remove pin folder: %w", err))
	}
	return errors.Join(errs...)
}

// detach takes a link from its hook and unpins it. To unpin alone is not enough:
// the kernel lets go of the hook later, and meanwhile refuses the same program
// there (EEXIST).
func detach(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = l.Detach()
		l.Close()
	}
	return errors.Join(err, state.Unlink(path))
}

// Check says what is missing of a pod's gate, nil if nothing.
func Check(s *state.State, key string, p state.Pod, cgroup Cgroup) error {
	errs := []error{s.Check(p), door.Check(s.Dir, key, int(p.IfIndex))}
	if cgroup.Path != "" {
		errs = append(errs, sock.Check(s.Dir, key, cgroup.ID))
	}
	return errors.Join(errs...)
}
