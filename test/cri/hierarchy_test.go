// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is one cgroup hierarchy of the machine and the node's folder in it.
type hierarchy struct {
	at, kind, options string // as it is mounted
	dir               string
}

// makeHierarchies gives the node a folder in each cgroup v1 hierarchy, below the
// cgroup that this process is in, whose limits stay in force. In cgroup v2 it has
// one already.
func makeHierarchies(name, v2 string) ([]hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list cgroup hierarchies: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find own cgroups: %w", err)
	}
	var all []hierarchy
	for line := range strings.Lines(string(mounts)) {
		h, ok := parseMount(line)
		if !ok {
			continue
		}
		h.dir = v2
		if h.kind == "cgroup" {
			h.dir = filepath.Join(h.at, ownCgroup(string(own), h.options), name)
			if err := makeV1(h.dir); err != nil {
				return nil, errors.Join(err, removeHierarchies(all))
			}
		}
		all = append(all, h)
	}
	return all, nil
}

// parseMount reads a line of mountinfo; ok if it is a whole cgroup hierarchy.
func parseMount(line string) (h hierarchy, ok bool) {
	mount, filesystem, _ := strings.Cut(line, " - ")
	m, f := strings.Fields(mount), strings.Fields(filesystem)
	if len(m) < 5 || len(f) < 3 || m[3] != "/" || !strings.HasPrefix(m[4], "/sys/fs/cgroup") {
		return h, false
	}
	h = hierarchy{at: m[4], kind: f[0]}
	switch h.kind {
	case "cgroup2":
		h.options = "rw"
	case "cgroup":
		var options []string
		for option := range strings.SplitSeq(f[2], ",") {
			if strings.HasPrefix(option, "name=") {
				options = append(options, "none", option)
			} else if option != "rw" && option != "xattr" && !strings.Contains(option, "=") {
				options = append(options, option)
			}
		}
		h.options = strings.Join(options, ",")
	default:
		return h, false
	}
	return h, true
}

// ownCgroup finds this process in a v1 hierarchy, in the text of /proc/self/cgroup.
func ownCgroup(table, options string) string {
	want := strings.TrimPrefix(options, "none,")
	for line := range strings.Lines(table) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && f[1] == want {
			return f[2]
		}
	}
	return "/"
}

// makeV1 makes a cgroup v1 folder. In cpuset, nothing runs in one that has no CPU.
func makeV1(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), b, 0)
		}
		if err != nil {
			return fmt.Errorf("make cgroup: %w", errors.Join(err, os.Remove(dir)))
		}
	}
	return nil
}

// removeHierarchies removes the node's v1 folders, in which nothing runs any more.
func removeHierarchies(all []hierarchy) error {
	var errs []error
	for _, h := range all {
		if h.kind == "cgroup" {
			errs = append(errs, removeTree(h.dir))
		}
	}
	return errors.Join(errs...)
}

// removeTree removes an empty cgroup with all below it; a missing one is no error.
// Processes that are gone may hold it for a moment.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
	}
}
