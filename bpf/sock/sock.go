// SPDX-License-Identifier: Apache-2.0

// Package sock is the socket point: programs on a pod's cgroup that stamp sockets
// with their process and refuse what a WorkloadPolicy denies with EPERM.
package sock

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

var hooks = map[string]ebpf.AttachType{
	sockProgSockCreate:   ebpf.AttachCGroupInetSockCreate,
	sockProgSockBind4:    ebpf.AttachCGroupInet4PostBind,
	sockProgSockBind6:    ebpf.AttachCGroupInet6PostBind,
	sockProgSockBindTo4:  ebpf.AttachCGroupInet4Bind,
	sockProgSockBindTo6:  ebpf.AttachCGroupInet6Bind,
	sockProgSockConnect4: ebpf.AttachCGroupInet4Connect,
	sockProgSockConnect6: ebpf.AttachCGroupInet6Connect,
	sockProgSockSendmsg4: ebpf.AttachCGroupUDP4Sendmsg,
	sockProgSockSendmsg6: ebpf.AttachCGroupUDP6Sendmsg,
}

// Load loads the programs. The caller must close the collection.
func Load(s *state.State, c door.Config) (*ebpf.Collection, error) {
	spec, err := loadSock()
	if err != nil {
		return nil, fmt.Errorf("read embedded sock: %w", err)
	}
	if err := c.Set(spec); err != nil {
		return nil, err
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("sock: %w", err)
	}
	return coll, nil
}

// Install loads the programs, pins them for the plugin and gives them to every
// cgroup that has them already.
func Install(s *state.State, c door.Config) error {
	coll, err := Load(s, c)
	if err != nil {
		return err
	}
	defer coll.Close()
	for name := range hooks {
		if err := s.Dir.PinProgram(name, coll.Programs[name]); err != nil {
			return err
		}
		standing, err := filepath.Glob(filepath.Join(s.Dir.Pod("*"), name+"_*"))
		if err != nil {
			return fmt.Errorf("list links: %w", err)
		}
		if _, err := os.Stat(s.Dir.Link(name)); err == nil {
			standing = append(standing, s.Dir.Link(name))
		}
		for _, path := range standing {
			if err := state.UpdateLink(path, coll.Programs[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pin names the link of a program on a cgroup of a pod.
func pin(dir state.Dir, key, name string, cgroup uint64) string {
	return filepath.Join(dir.Pod(key), name+"_"+strconv.FormatUint(cgroup, 10))
}

// Attach hangs the pinned programs at a cgroup, its id given, of the pod with that
// key. What hangs there already is left as it is.
func Attach(dir state.Dir, key, path string, cgroup uint64) error {
	for name, hook := range hooks {
		if err := attach(dir, name, hook, path, cgroup, pin(dir, key, name, cgroup)); err != nil {
			return err
		}
	}
	return nil
}

// AttachRoot hangs the pinned programs at the folder below which pods' cgroups
// appear, for pods whose cgroup is not known at ADD: the kernel takes it in when
// its first program starts, and it must be watched by then. Processes of no pod
// pay one failed lookup a socket call. Done once; it stays until uninstall.
func AttachRoot(dir state.Dir, root string) error {
	info, err := os.Stat(root)
	if err != nil {
		return fmt.Errorf("open cgroup root: %w", err)
	}
	cgroup := info.Sys().(*syscall.Stat_t).Ino
	for name, hook := range hooks {
		if err := attach(dir, name, hook, root, cgroup, dir.Link(name)); err != nil {
			return err
		}
	}
	return nil
}

func attach(dir state.Dir, name string, hook ebpf.AttachType, path string, cgroup uint64, at string) error {
	if check(at, cgroup) == nil {
		return nil
	}
	p, err := ebpf.LoadPinnedProgram(dir.Prog(name), nil)
	if err != nil {
		return fmt.Errorf("open pinned program %s: %w", name, err)
	}
	defer p.Close()
	l, err := link.AttachCgroup(link.CgroupOptions{Path: path, Attach: hook, Program: p})
	if err != nil {
		return fmt.Errorf("attach %s to cgroup %s: %w", name, path, err)
	}
	return state.PinLink(l, at)
}

// Check says which link of the cgroup is missing or another's, nil if none.
func Check(dir state.Dir, key string, cgroup uint64) error {
	for name := range hooks {
		if err := check(pin(dir, key, name, cgroup), cgroup); err != nil {
			return err
		}
	}
	return nil
}

func check(path string, cgroup uint64) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return fmt.Errorf("open pinned link %s: %w", path, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return fmt.Errorf("read link %s: %w", path, err)
	}
	if c := info.Cgroup(); c == nil || c.CgroupId != cgroup {
		return fmt.Errorf("link %s is not attached to cgroup %d", path, cgroup)
	}
	return nil
}
