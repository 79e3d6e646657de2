// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// makeNetns makes a network namespace with loopback up and the given sysctls, kept
// by a bind mount at path.
func makeNetns(path string, sysctls map[string]string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	netns, err := ns.TempNetNS()
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	defer netns.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", netns.Fd()), path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind network namespace: %w", err)
	}
	return netns.Do(func(ns.NetNS) error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find loopback: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set loopback up: %w", err)
		}
		for name, value := range sysctls { // of this thread's namespace
			if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
				return fmt.Errorf("set sysctl: %w", err)
			}
		}
		return nil
	})
}

// unmount unmounts path; one that is no mount, or is gone, is no error.
func unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("unmount %s: %w", path, err)
}
