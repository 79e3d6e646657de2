// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// target is an address as the kernel takes it, for system calls made by hand.
type target struct {
	family, kind int
	name         [28]byte
	length       uintptr
}

func newTarget(network, address string) (*target, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	t := &target{family: unix.AF_INET, kind: unix.SOCK_STREAM, length: unix.SizeofSockaddrInet4}
	if network == "udp" {
		t.kind = unix.SOCK_DGRAM
	}
	ip := at.Addr().As16()
	if at.Addr().Is6() {
		t.family, t.length = unix.AF_INET6, unix.SizeofSockaddrInet6
		copy(t.name[8:], ip[:])
	} else {
		copy(t.name[4:], ip[12:])
	}
	*(*uint16)(unsafe.Pointer(&t.name)) = uint16(t.family)
	t.name[2], t.name[3] = byte(at.Port()>>8), byte(at.Port())
	return t, nil
}

// socket makes a blocking socket whose calls end after the timeout.
func (t *target) socket() (int, error) {
	fd, err := unix.Socket(t.family, t.kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	tv := unix.NsecToTimeval(defaultTimeout().Nanoseconds())
	for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &tv); err != nil {
			unix.Close(fd)
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	return fd, nil
}

// The functions below are run in a forked child too: they must neither allocate
// nor grow the stack.

//go:nosplit
func rawConnect(fd int, t *target) syscall.Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&t.name)), t.length)
	return e
}

//go:nosplit
func rawEcho(fd int) syscall.Errno {
	var b [5]byte
	if _, _, e := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b)), 5); e != 0 {
		return e
	}
	return rawRead(fd)
}

//go:nosplit
func rawRead(fd int) syscall.Errno {
	var b [5]byte
	n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b)), 5)
	if e == 0 && n == 0 {
		return syscall.ECONNRESET
	}
	return e
}

// rawDial connects and awaits an echo in the current thread.
func rawDial(t *target) error {
	fd, err := t.socket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if e := rawConnect(fd, t); e != 0 {
		return os.NewSyscallError("connect", e)
	}
	return say(rawEcho(fd))
}

func say(e syscall.Errno) error {
	if e != 0 {
		return os.NewSyscallError("echo", e)
	}
	fmt.Println("ok")
	return nil
}

// forkDial dials in a child that never made an exec.
func forkDial(args []string) error {
	t, err := newTarget(args[0], args[1])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	pid, e := forkAndDial(t, unix.NsecToTimeval(defaultTimeout().Nanoseconds()))
	if e != 0 {
		return os.NewSyscallError("clone", e)
	}
	var status unix.WaitStatus
	for {
		_, err = unix.Wait4(pid, &status, 0, nil)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return os.NewSyscallError("wait4", err)
	}
	return say(syscall.Errno(status.ExitStatus())) // errno numbers here are below 256
}

// forkAndDial returns in the parent; the child ends with an errno as its status.
// Nothing but this thread exists in the child.
//
//go:noinline
//go:norace
func forkAndDial(t *target, timeout unix.Timeval) (int, syscall.Errno) {
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || pid != 0 {
		return int(pid), e
	}
	fd, _, e := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(t.family), uintptr(t.kind), 0)
	for option := uintptr(unix.SO_RCVTIMEO); e == 0 && option <= unix.SO_SNDTIMEO; option++ {
		_, _, e = syscall.RawSyscall6(unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, option,
			uintptr(unsafe.Pointer(&timeout)), unsafe.Sizeof(timeout), 0)
	}
	if e == 0 {
		e = rawConnect(int(fd), t)
	}
	if e == 0 {
		e = rawEcho(int(fd))
	}
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(e), 0, 0)
	}
}

// still keeps the caller on its thread and the runtime's signals away from it: they
// would interrupt calls that wait.
func still() {
	runtime.LockOSThread()
	var urgent unix.Sigset_t
	urgent.Val[0] = 1 << (unix.SIGURG - 1)
	unix.PthreadSigmask(unix.SIG_BLOCK, &urgent, nil)
}

// onThread runs f on a thread that is not the first and that ends with it.
func onThread(f func() error) error {
	done := make(chan error)
	runtime.LockOSThread() // keeps the first thread, or whichever this is, from being it
	defer runtime.UnlockOSThread()
	go func() {
		still()
		done <- f()
	}()
	return <-done
}

func threadDial(args []string) error {
	t, err := newTarget(args[0], args[1])
	if err != nil {
		return err
	}
	return onThread(func() error { return rawDial(t) })
}

// fastOpenDial connects without connect(2).
func fastOpenDial(args []string) error {
	t, err := newTarget("tcp", args[0])
	if err != nil {
		return err
	}
	return onThread(func() error {
		fd, err := t.socket()
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		b := []byte("probe")
		_, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			unix.MSG_FASTOPEN, uintptr(unsafe.Pointer(&t.name)), t.length)
		if e != 0 {
			return os.NewSyscallError("sendto", e)
		}
		return say(rawRead(fd))
	})
}

// nsenterDial dials from another network namespace.
func nsenterDial(args []string) error {
	t, err := newTarget(args[1], args[2])
	if err != nil {
		return err
	}
	netns, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer netns.Close()
	return onThread(func() error {
		if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace: %v", err) // EPERM here is not the verdict
		}
		return rawDial(t)
	})
}
