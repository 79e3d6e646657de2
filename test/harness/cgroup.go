// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cgroup2Mount is where this machine has cgroup v2, beside v1 or alone.
func cgroup2Mount() (string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find cgroup v2: %w", err)
	}
	for line := range strings.Lines(string(table)) {
		mount, filesystem, _ := strings.Cut(line, " - ")
		if f := strings.Fields(mount); strings.HasPrefix(filesystem, "cgroup2 ") && len(f) > 4 {
			return f[4], nil
		}
	}
	return "", errors.New("find cgroup v2: not mounted")
}

// killTimeout bounds the wait for killed processes to be gone.
const killTimeout = 10 * time.Second

// killCgroup kills every process in and below a cgroup and waits until it is empty.
func killCgroup(path string) error {
	if err := os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("kill cgroup: %w", err)
	}
	for end := time.Now().Add(Patience(killTimeout)); ; time.Sleep(time.Millisecond) {
		events, err := os.ReadFile(filepath.Join(path, "cgroup.events"))
		if err != nil {
			return fmt.Errorf("kill cgroup: %w", err)
		}
		if bytes.Contains(events, []byte("populated 0")) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("kill cgroup %s: processes are still there", path)
		}
	}
}

// removeCgroup kills what runs in a cgroup and removes it with all below it; a
// missing one is no error.
func removeCgroup(path string) error {
	if err := killCgroup(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var folders []string
	err := filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, at)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list cgroups: %w", err)
	}
	for i := len(folders) - 1; i >= 0; i-- { // children come after their parent
		if err := os.Remove(folders[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
	return nil
}
