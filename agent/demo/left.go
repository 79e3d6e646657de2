// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/test/harness"
)

// traces are what a node is known by once it is closed.
type traces struct {
	paths  []string // folders that held everything
	netns  []string // as /proc/PID/ns/net reads
	flows  ebpf.MapID
	pinned bool // flows is known
}

// tracesOf looks at a node that stands. Every program of the node uses its map of
// flows, so that the map is there for as long as a pin, a link or a program is.
func tracesOf(n *harness.Node, folders ...string) traces {
	t := traces{paths: append([]string{n.Root, n.CgroupRoot}, folders...)}
	spaces, _ := filepath.Glob(filepath.Join(n.Root, "netns", "*"))
	for _, path := range spaces {
		if info, err := os.Stat(path); err == nil {
			t.netns = append(t.netns, fmt.Sprintf("net:[%d]", info.Sys().(*syscall.Stat_t).Ino))
		}
	}
	m, err := ebpf.LoadPinnedMap(filepath.Join(n.Bpffs, "maps", "flows"), nil)
	if err != nil {
		return t // no agent came as far
	}
	defer m.Close()
	if info, err := m.Info(); err == nil {
		t.flows, t.pinned = info.ID()
	}
	return t
}

// lingering bounds the wait for what the kernel lets go of a moment later.
const lingering = 5 * time.Second

// gone says what is left, nil if nothing is.
func (t *traces) gone() error {
	for deadline := time.Now().Add(lingering); ; time.Sleep(10 * time.Millisecond) {
		err := errors.Join(t.noFolder(), t.noProcess(), t.noMap())
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func (t *traces) noFolder() error {
	var errs []error
	for _, path := range t.paths {
		if _, err := os.Lstat(path); path != "" && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s is still there", path))
		}
	}
	return errors.Join(errs...)
}

// noProcess looks for processes in the namespaces, or that still see what was
// mounted in the folders. A namespace without both is gone with its links.
func (t *traces) noProcess() error {
	processes, err := filepath.Glob("/proc/[0-9]*")
	errs := []error{err}
	for _, proc := range processes {
		if netns, err := os.Readlink(proc + "/ns/net"); err == nil {
			for _, mine := range t.netns {
				if netns == mine {
					errs = append(errs, fmt.Errorf("%s is still in %s", proc, mine))
				}
			}
		}
		mounts, _ := os.ReadFile(proc + "/mountinfo") // gone meanwhile: as good
		for _, path := range t.paths {
			if path != "" && strings.Contains(string(mounts), " "+path) {
				errs = append(errs, fmt.Errorf("%s still sees a mount in %s", proc, path))
			}
		}
	}
	return errors.Join(errs...)
}

func (t *traces) noMap() error {
	if !t.pinned {
		return nil
	}
	m, err := ebpf.NewMapFromID(t.flows)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for maps: %w", err)
	}
	m.Close()
	return errors.New("a pin, link or program of the node is still there")
}
