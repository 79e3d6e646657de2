// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestChrooted(t *testing.T) {
	for path, want := range map[string]bool{"/": false, t.TempDir(): true} {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := chrooted(fd); got != want {
			t.Errorf("chrooted(%s) = %v, want %v", path, got, want)
		}
		unix.Close(fd)
	}
}
