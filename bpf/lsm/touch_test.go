// SPDX-License-Identifier: Apache-2.0

package lsm

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/state"
)

// changeEnv makes the test binary change programs of its container and run them.
const changeEnv = "SLUICE_TEST_CHANGE"

// In the container: the program that runs first, one beside it, one on a volume, and
// what they make.
const self, other, volume, effect = "/self", "/other", "/volume/other", "/effect"

// changes are what a process does before it runs a program of its container's.
var changes = []struct {
	name    string
	do      func() error
	program string
	runs    bool
}{
	{"nothing", func() error { return nil }, other, true},
	{"chmod", func() error { return os.Chmod(other, 0o711) }, other, true},
	{"touch", func() error { return os.Chtimes(other, time.Now(), time.Now()) }, other, true},
	{"chown", func() error { return os.Chown(other, 1, 1) }, other, true},
	{"chmod and touch", func() error {
		return errors.Join(os.Chmod(other, 0o711), os.Chtimes(other, time.Now(), time.Now()), os.Chmod(other, 0o755))
	}, other, true},
	{"a chmod that fails", func() error {
		return errors.Join(os.Chmod(other, 0o711), fails(func() error { return syscall.Chmod(other+"/", 0o755) }))
	}, other, true},
	{"a write", func() error { return write(other) }, other, false},
	{"chmod and a write", func() error { return errors.Join(os.Chmod(other, 0o711), write(other)) }, other, false},
	{"a write and chmod", func() error { return errors.Join(write(other), os.Chmod(other, 0o711)) }, other, false},
	{"chmod by who may write", func() error {
		f, err := os.OpenFile(other, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("more")
		return errors.Join(f.Chmod(0o711), err, f.Close())
	}, other, false},
	{"chmod by who holds a map of it", mapped, other, false},
	{"truncation to its own length", func() error {
		st, err := os.Stat(other)
		return errors.Join(err, os.Chmod(other, 0o711), os.Truncate(other, st.Size()))
	}, other, false},
	{"another name", func() error { return errors.Join(os.Chmod(other, 0o711), os.Rename(other, "/moved")) }, "/moved", false},
	{"a link", func() error { return errors.Join(os.Chmod(other, 0o711), os.Link(other, "/link")) }, "/link", false},
	{"a copy", func() error {
		b, err := os.ReadFile(other)
		return errors.Join(err, os.WriteFile("/copy", b, 0o755), os.Chmod("/copy", 0o711))
	}, "/copy", false},
	{"nothing on a volume", func() error { return nil }, volume, false},
	{"chmod on a volume", func() error { return os.Chmod(volume, 0o711) }, volume, false},
}

// mapped writes through a map, behind overlayfs: no writer of the file itself is open
// then, and its change time is the one of the chmod.
func mapped() error {
	f, err := os.OpenFile(other, os.O_RDWR|unix.O_NOATIME, 0)
	if err != nil {
		return err
	}
	page, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	page[15] = 0 // padding of the ELF header's
	err = errors.Join(f.Close(), os.Chmod(other, 0o711))
	page[15] = 1
	return err
}

func fails(f func() error) error {
	if f() == nil {
		return errors.New("what was to fail did not")
	}
	return nil
}

func write(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("more")
	return errors.Join(err, f.Close())
}

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(changeEnv)
	if !ok {
		bpftest.Main(m)
	}
	if name == effect {
		os.Exit(status(os.WriteFile(effect, nil, 0o644)))
	}
	for _, c := range changes {
		if c.name == name {
			if err := c.do(); err != nil {
				os.Exit(status(err))
			}
			os.Exit(status(syscall.Exec(c.program, []string{c.program}, []string{changeEnv + "=" + effect})))
		}
	}
}

// status is 1 for EPERM.
func status(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, fs.ErrPermission):
		return 1
	}
	os.Stderr.WriteString(err.Error() + "\n")
	return 2
}

// A program of the image stays one when its mode, owner or times change, and not when its
// content or name may have; what lies on a volume is none.
func TestImageOnly(t *testing.T) {
	const ofImage = 2 // PROGRAM_OF_IMAGE in bpf/include/runtime.h
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	put := func(dir string, names ...string) error {
		var errs []error
		for _, n := range names {
			errs = append(errs, os.WriteFile(filepath.Join(dir, n), binary, 0o755))
		}
		return errors.Join(errs...)
	}
	r := bpftest.NewRuled(t, "lsm", Try, process.Install, attachAll, AttachTouch)
	head := bpftest.Head(state.ActionDeny)
	head.List = 100
	r.Use(state.RawRuleset{Exec: [2]state.RawRuntimeHead{head}})
	r.Permit(state.RawPermit{List: head.List, Program: ofImage})
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			r := r.Container(t)
			image := bpftest.Overlay(t, func(lower string) error {
				return errors.Join(put(lower, self, other), os.Mkdir(lower+"/volume", 0o755))
			})
			on := bpftest.Overlay(t, func(lower string) error { return put(lower, "other") })
			if err := syscall.Mount(on, image+"/volume", "", syscall.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
			defer syscall.Unmount(image+"/volume", 0)
			r.Settle(image + other)
			r.Settle(image + volume)
			cmd := r.Command(self)
			cmd.Env = []string{changeEnv + "=" + c.name}
			cmd.SysProcAttr.Chroot, cmd.SysProcAttr.Cloneflags, cmd.Dir = image, syscall.CLONE_NEWNS, "/"
			cmd.Stderr = os.Stderr
			before := r.Acts(state.ActionDeny)
			err := cmd.Run()
			if e := new(exec.ExitError); err != nil && (!errors.As(err, &e) || e.ExitCode() != 1) {
				t.Fatal(err)
			}
			_, err = os.Stat(image + effect)
			r.Want(c.program, err == nil, c.runs)
			if denied := r.Acts(state.ActionDeny) > before; denied == c.runs {
				t.Errorf("denied: %t", denied)
			}
		})
	}
}
