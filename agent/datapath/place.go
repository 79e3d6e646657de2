// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Use follows a path to what rules on files mean by it: whatever is there now.
func (r *Resolver) Use(path string) Resolution {
	return r.follow(path, 0)
}

// Place follows a path to a folder.
func (r *Resolver) Place(path string) Resolution {
	return r.follow(path, unix.O_DIRECTORY)
}

func (r *Resolver) follow(path string, flags uint64) Resolution {
	fd, err := unix.Openat2(r.root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return Resolution{Why: fmt.Sprintf("%s: %v", path, err)}
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		return Resolution{Why: fmt.Sprintf("stat %s: %v", path, err)}
	}
	return Resolution{Path: pathOf(fd, path), File: r.file(&st), Changed: changed(st.Ctime)}
}

// pathOf is the path of a descriptor that was opened by another, links resolved.
func pathOf(fd int, by string) string {
	at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return by
	}
	return at
}
