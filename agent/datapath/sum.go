// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxSummed bounds the files that sums are taken of.
const maxSummed = 1 << 30

// Sum takes the SHA-256 of the file that path led to before. It fails if the path leads
// to another one now, or if the file has changed or changes meanwhile.
func (r *Resolver) Sum(path string, was Resolution) ([sha256.Size]byte, error) {
	var none [sha256.Size]byte
	at, err := unix.Openat2(r.root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return none, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(at)
	if err := r.same(at, was); err != nil {
		return none, fmt.Errorf("read %s: %w", path, err)
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(at)) // a regular file: this does not wait
	if err != nil {
		return none, fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxSummed+1))
	if err == nil && n > maxSummed {
		err = fmt.Errorf("larger than %d bytes", maxSummed)
	}
	if err = errors.Join(err, r.same(at, was)); err != nil {
		return none, fmt.Errorf("read %s: %w", path, err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// same says why a descriptor is not of the file that a path led to, as it was then.
func (r *Resolver) same(fd int, was Resolution) error {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		return err
	}
	if r.file(&st) != was.File || changed(st.Ctime) != was.Changed {
		return errors.New("it has changed")
	}
	return nil
}

// file is a file in the resolver's container.
func (r *Resolver) file(st *unix.Statx_t) File {
	return File{Container: r.container.ID, Ino: st.Ino, Dev: st.Dev_major<<20 | st.Dev_minor}
}

// changed is a ctime in nanoseconds.
func changed(t unix.StatxTimestamp) uint64 { return uint64(t.Sec)*1e9 + uint64(t.Nsec) }
