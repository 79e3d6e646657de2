// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen makes the socket of a new agent. Agents that start at once are told
// apart by a lock on the folder, which leaves no file behind.
func listen(socket string) (net.Listener, error) {
	dir := filepath.Dir(socket)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make socket folder: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open socket folder: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock socket folder: %w", err)
	}
	if err := removeStale(socket); err != nil {
		return nil, err
	}
	// The file takes its mode from the socket, less the umask: it is never open
	// to others, not even between bind and chmod.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmodErr error
		err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, chmodErr)
	}}
	l, err := private.Listen(context.Background(), "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// removeStale removes a socket that nobody serves, and nothing else.
func removeStale(socket string) error {
	info, err := os.Lstat(socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen: %s is there and no socket; remove it or choose another --socket", socket)
	}
	conn, err := net.Dial("unix", socket)
	if conn != nil {
		conn.Close()
	}
	// Anything but a refusal, a full backlog for one, is a sign of life.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen: another agent serves %s; stop it or choose another --socket", socket)
	}
	if err := os.Remove(socket); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}
