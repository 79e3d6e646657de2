// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// locks are what an agent holds while it lives: its state folder and its pins, each
// of which may be another agent's too. They end with the process.
type locks struct{ state, pins *os.File }

func (l *locks) release() {
	for _, f := range []*os.File{l.state, l.pins} {
		if f != nil {
			f.Close()
		}
	}
}

// lockState makes the state folder's lock where it is missing.
func (l *locks) lockState(dir string) (err error) {
	l.state, err = lock(filepath.Join(dir, "agent.lock"), os.O_CREATE|os.O_RDWR)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("another agent runs with the state folder %s; give this one its own --state-dir: %w", dir, err)
	}
	return err
}

// lockPins locks the pin folder itself. It must be called again once the folder is
// sure to be there: it may have been missing, or a filesystem was mounted over it.
func (l *locks) lockPins(dir string) error {
	if l.pins != nil {
		held, err := l.pins.Stat()
		if err != nil {
			return fmt.Errorf("look at pin folder: %w", err)
		}
		if now, err := os.Stat(dir); err == nil && os.SameFile(held, now) {
			return nil
		}
		l.pins.Close()
		l.pins = nil
	}
	f, err := lock(dir, os.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, errLocked) {
		return fmt.Errorf("another agent has its pins in %s; give this one its own --bpffs: %w", dir, err)
	}
	l.pins = f
	return err
}

// lockToRemove locks what is there of an installation, and makes nothing.
func (l *locks) lockToRemove(stateDir, bpffs string) (err error) {
	l.state, err = lock(filepath.Join(stateDir, "agent.lock"), os.O_RDWR)
	switch {
	case errors.Is(err, errLocked):
		return fmt.Errorf("an agent runs with the state folder %s: stop it first: %w", stateDir, err)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	l.pins, err = lock(bpffs, os.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case errors.Is(err, errLocked):
		return fmt.Errorf("an agent has its pins in %s: stop it first: %w", bpffs, err)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

var errLocked = errors.New("locked")

// lock opens a file or folder and locks it, without waiting.
func lock(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
