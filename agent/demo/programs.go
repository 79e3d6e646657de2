// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// makePrograms copies one program under several names into a filesystem of their
// own, on which setuid works wherever the machine's temporary files lie.
func makePrograms(from string, names ...string) (dir string, err error) {
	b, err := os.ReadFile(from)
	if err != nil {
		return "", fmt.Errorf("read program: %w", err)
	}
	if dir, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
		return "", fmt.Errorf("make folder of programs: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
		return "", errors.Join(fmt.Errorf("mount folder of programs: %w", err), os.Remove(dir))
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o755); err != nil {
			return dir, fmt.Errorf("copy program: %w", err)
		}
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o755), os.Chmod(open, 0o777)); err != nil {
		return dir, fmt.Errorf("make folder of witnesses: %w", err)
	}
	return dir, nil
}

func removePrograms(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount folder of programs: %w", err)
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("remove folder of programs: %w", err)
	}
	return nil
}
