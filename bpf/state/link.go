// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// PinLink pins l at path, in the place of a link that is pinned there, and closes
// it; if it cannot be pinned it is detached.
func PinLink(l link.Link, path string) error {
	defer l.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make pin folder: %w", err)
	}
	if err := Unlink(path); err != nil {
		return err
	}
	if err := l.Pin(path); err != nil {
		return fmt.Errorf("pin link: %w", err)
	}
	return nil
}

// UpdateLink gives the link pinned at path another program, in place. A link whose
// cgroup or interface is gone is removed.
func UpdateLink(path string, p *ebpf.Program) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return fmt.Errorf("open pinned link %s: %w", path, err)
	}
	defer l.Close()
	err = l.Update(p)
	if errors.Is(err, syscall.ENOLINK) {
		return Unlink(path)
	}
	if err != nil {
		return fmt.Errorf("update link %s: %w", path, err)
	}
	return nil
}

// Linked says whether the link pinned at path is there and runs a program with
// the instructions of p.
func Linked(path string, p *ebpf.Program) (bool, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open pinned link %s: %w", path, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("read link %s: %w", path, err)
	}
	old, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return false, fmt.Errorf("read program of %s: %w", path, err)
	}
	defer old.Close()
	is, err := tag(old)
	if err != nil {
		return false, err
	}
	want, err := tag(p)
	return is == want, err
}

func tag(p *ebpf.Program) (string, error) {
	info, err := p.Info()
	if err != nil {
		return "", fmt.Errorf("read program: %w", err)
	}
	return info.Tag, nil
}

// Unlink removes the pin at path and with it the link; a missing one is no error.
func Unlink(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove link: %w", err)
	}
	return nil
}

// Replace attaches a tracing or LSM program and pins its link at path, unless a link
// with the same instructions is there. The old link goes when the new one stands.
func Replace(path string, p *ebpf.Program) error {
	if same, err := Linked(path, p); err != nil || same {
		return err
	}
	next := path + "_next"
	if err := Unlink(next); err != nil {
		return err
	}
	l, err := attach(p)
	if err != nil {
		return fmt.Errorf("attach %s: %w", filepath.Base(path), err)
	}
	if err := PinLink(l, next); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("pin link: %w", err)
	}
	return nil
}

func attach(p *ebpf.Program) (link.Link, error) {
	if p.Type() == ebpf.LSM {
		return link.AttachLSM(link.LSMOptions{Program: p})
	}
	return link.AttachTracing(link.TracingOptions{Program: p})
}
