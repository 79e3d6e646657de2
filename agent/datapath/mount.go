// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultBPFFS is where every distribution mounts the bpf filesystem.
const defaultBPFFS = "/sys/fs/bpf"

func isBPF(dir string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false, fmt.Errorf("stat filesystem of %s: %w", dir, err)
	}
	return st.Type == unix.BPF_FS_MAGIC, nil
}

// mountBPF makes sure that dir exists on a bpf filesystem: mounts one at its usual
// place if dir lies there, else at dir itself.
func mountBPF(dir string) error {
	at := dir
	if dir == defaultBPFFS || strings.HasPrefix(dir, defaultBPFFS+"/") {
		at = defaultBPFFS
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make pin folder: %w", err)
	}
	if ok, err := isBPF(at); err != nil {
		return err
	} else if !ok {
		if err := unix.Mount("bpf", at, "bpf", 0, "mode=0700"); err != nil {
			return fmt.Errorf("mount bpf filesystem at %s: %w", at, err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make pin folder: %w", err)
	}
	return nil
}

// unmountBPF undoes mountBPF where dir itself was mounted, else removes the folder.
func unmountBPF(dir string) error {
	if dir == defaultBPFFS {
		return nil
	}
	if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	err := unix.Unmount(dir, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBUSY) {
		return nil // others pin there too: theirs to remove
	}
	if err == nil {
		err = os.Remove(dir)
	}
	if err != nil {
		return fmt.Errorf("remove pin folder: %w", err)
	}
	return nil
}

// CgroupRoot finds the cgroup2 mount, on hybrid hosts beside the v1 trees.
func CgroupRoot() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find cgroup2: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		before, after, ok := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" {
			return fields[4], nil
		}
	}
	return "", errors.New("find cgroup2: no cgroup2 filesystem is mounted")
}
