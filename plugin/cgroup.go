// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/gate"
	"github.com/sluice-io/sluice/bpf/state"
)

// searchDepth bounds the search for a pod's folder; the kubelet nests four deep.
const searchDepth = 5

// madeMark tells folders that this plugin made from those of others.
const madeMark = "trusted.sluice.made"

// placeCgroup is the pod's cgroup: the one the runtime names, made if need be,
// else the one that bears the pod's UID, else none (it joins later, in the kernel).
func placeCgroup(c *conf, uid string) (gate.Cgroup, error) {
	named := c.RuntimeConfig.CgroupPath
	root, err := cgroupRoot(c.CgroupRoot)
	switch {
	case err != nil && named == "":
		return gate.Cgroup{}, nil
	case err != nil:
		return gate.Cgroup{}, invalid("cgroupPath %q: %v", named, err)
	case named == "":
		return findCgroup(root, uid)
	}
	below, err := cgroupFolder(named)
	if err != nil {
		return gate.Cgroup{}, invalid("cgroupPath %q: %v", named, err)
	}
	path := filepath.Join(root, below)
	if err := makeCgroup(root, path); err != nil {
		return gate.Cgroup{}, invalid("cgroupPath %q: %v", named, err)
	}
	g, err := openCgroup(path)
	if err != nil {
		return gate.Cgroup{}, errors.Join(invalid("cgroupPath %q: %v", named, err), removeMade(path))
	}
	return g, nil
}

// cgroupRoot is the folder that cgroup paths are below, where the machine has
// cgroup v2, beside v1 or alone.
func cgroupRoot(configured string) (string, error) {
	root := configured
	if root == "" {
		table, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return "", fmt.Errorf("find cgroup v2: %w", err)
		}
		if root = cgroup2Mount(string(table)); root == "" {
			return "", errors.New("cgroup v2 is not mounted")
		}
	}
	var s unix.Statfs_t
	if err := unix.Statfs(root, &s); err != nil {
		return "", fmt.Errorf("open %s: %w", root, err)
	}
	if s.Type != unix.CGROUP2_SUPER_MAGIC {
		return "", fmt.Errorf("%s is not on cgroup v2", root)
	}
	return root, nil
}

// cgroup2Mount finds cgroup v2 in mountinfo, the whole hierarchy before a part.
func cgroup2Mount(mountinfo string) string {
	var part string
	for line := range strings.Lines(mountinfo) {
		mount, filesystem, _ := strings.Cut(line, " - ")
		f := strings.Fields(mount)
		if len(f) < 5 || !strings.HasPrefix(filesystem, "cgroup2 ") {
			continue
		}
		if f[3] == "/" {
			return f[4]
		}
		if part == "" {
			part = f[4]
		}
	}
	return part
}

// findCgroup looks for the folder of a pod below root, breadth first.
func findCgroup(root, uid string) (gate.Cgroup, error) {
	if uid == "" {
		return gate.Cgroup{}, nil
	}
	cgroupfs := "pod" + uid
	systemd := "-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice"
	level := []string{root}
	for range searchDepth {
		var next []string
		for _, dir := range level {
			entries, _ := os.ReadDir(dir) // folders come and go
			for _, e := range entries {
				path := filepath.Join(dir, e.Name())
				switch {
				case !e.IsDir():
				case e.Name() == cgroupfs || strings.HasSuffix(e.Name(), systemd):
					return openCgroup(path)
				default:
					next = append(next, path)
				}
			}
		}
		level = next
	}
	return gate.Cgroup{}, nil
}

func openCgroup(path string) (gate.Cgroup, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return gate.Cgroup{}, fmt.Errorf("open cgroup %s: %w", path, err)
	}
	return gate.Cgroup{Path: path, ID: s.Ino}, nil
}

// makeCgroup makes the folders that are missing between root and path, and marks
// them. On error none of them is left.
func makeCgroup(root, path string) error {
	if path == root {
		return nil
	}
	if err := makeCgroup(root, filepath.Dir(path)); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	err := os.Mkdir(path, 0o755)
	if err == nil {
		if err = unix.Setxattr(path, madeMark, []byte{1}, 0); err == nil {
			return nil
		}
		err = errors.Join(fmt.Errorf("mark %s: %w", path, err), os.Remove(path))
	}
	return errors.Join(err, removeMade(filepath.Dir(path)))
}

// removeMade removes a pod's folder and those above it, if this plugin made them
// and nobody uses them.
func removeMade(path string) error {
	for ; path != "" && isMade(path); path = filepath.Dir(path) {
		err := os.Remove(path)
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
	return nil
}

func isMade(path string) bool {
	_, err := unix.Getxattr(path, madeMark, make([]byte, 1))
	return err == nil
}

// adoptCgroups makes the folders below a pod's cgroup the pod's. A folder is
// entered before it is listed: what is made in it later inherits in the kernel.
func adoptCgroups(s *state.State, p state.Pod, path string) error {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list cgroup: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		g, err := openCgroup(filepath.Join(path, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.AddCgroup(p, g.ID); err != nil {
			return err
		}
		if err := adoptCgroups(s, p, g.Path); err != nil {
			return err
		}
	}
	return nil
}
