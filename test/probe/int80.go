// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers of i386 system calls.
const (
	i386Getpid      = 20
	i386Setresuid32 = 208
	i386Connect     = 362
)

// haveInt80 says why this machine has no entry for 32-bit programs, nil if it has.
func haveInt80() (err error) {
	if !hasInt80 {
		return fmt.Errorf("%w: int 0x80 is of amd64", errCannot)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: int 0x80 faults", errCannot)
		}
	}()
	if pid := int32(int80(i386Getpid, 0, 0, 0)); int(pid) != os.Getpid() {
		return fmt.Errorf("%w: int 0x80 returned %d", errCannot, pid)
	}
	return nil
}

func call32(number, a, b, c uintptr) syscall.Errno {
	if ret := int32(int80(number, a, b, c)); ret < 0 {
		return syscall.Errno(-ret)
	}
	return 0
}

// setresuidInt80 is setresuid by the entry for 32-bit programs.
func setresuidInt80(args []string) error {
	if err := haveInt80(); err != nil {
		return err
	}
	return takeIDs(args, func(r, e, s uintptr) syscall.Errno { return call32(i386Setresuid32, r, e, s) })
}

// int80Dial connects by the entry for 32-bit programs.
func int80Dial(args []string) error {
	if err := haveInt80(); err != nil {
		return err
	}
	t, err := newTarget(args[0], args[1])
	if err != nil {
		return err
	}
	fd, err := t.socket()
	if err != nil {
		return err
	}
	// The address must lie where 32 bits reach.
	const map32 = 0x40
	low, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|map32)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	copy(low, t.name[:])
	still()
	if e := call32(i386Connect, uintptr(fd), uintptr(unsafe.Pointer(&low[0])), t.length); e != 0 {
		return os.NewSyscallError("connect", e)
	}
	return say(rawEcho(fd))
}
