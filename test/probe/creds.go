// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func numbers(args []string) ([]uintptr, error) {
	var out []uintptr
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 32)
		if err != nil {
			return nil, err
		}
		out = append(out, uintptr(n))
	}
	return out, nil
}

// asUID drops to a user and group, and executes a program; with --ambient that
// program has one capability, by number.
func asUID(args []string) error {
	ambient := -1
	if args[0] == "--ambient" {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		ambient, args = n, args[2:]
	}
	if len(args) < 3 {
		return errors.New("UID GID PATH are needed")
	}
	ids, err := numbers(args[:2])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // credentials are the thread's, and its exec makes them the program's
	if err := drop(ids[0], ids[1], ambient); err != nil {
		return err
	}
	return execute(args[2:])
}

// drop changes the current thread.
func drop(uid, gid uintptr, ambient int) error {
	if ambient >= 0 {
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("keep capabilities: %v", err)
		}
	}
	for _, call := range [][4]uintptr{
		{unix.SYS_SETGROUPS},
		{unix.SYS_SETRESGID, gid, gid, gid},
		{unix.SYS_SETRESUID, uid, uid, uid},
	} {
		if _, _, e := syscall.RawSyscall(call[0], call[1], call[2], call[3]); e != 0 {
			return fmt.Errorf("drop to %d:%d: %v", uid, gid, e)
		}
	}
	if ambient < 0 {
		return nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	bit := uint32(1) << ambient
	data := [2]unix.CapUserData{{Effective: bit, Permitted: bit, Inheritable: bit}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %v", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(ambient), 0, 0); err != nil {
		return fmt.Errorf("raise ambient capability: %v", err)
	}
	return nil
}

// setresuid takes ids and then leaves a trace.
func setresuid(args []string) error {
	return takeIDs(args, func(r, e, s uintptr) syscall.Errno {
		_, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, r, e, s)
		return errno
	})
}

// takeIDs makes the next two system calls of this thread those of interest: the
// one that takes the ids, and the one that leaves a file.
func takeIDs(args []string, take func(r, e, s uintptr) syscall.Errno) error {
	ids, err := numbers(args[:3])
	if err != nil {
		return err
	}
	if args[3] != "touch" {
		return fmt.Errorf("%s: only touch is known", args[3])
	}
	name, err := unix.BytePtrFromString(args[4])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if e := take(ids[0], ids[1], ids[2]); e != 0 {
		return fmt.Errorf("take ids: %v", e)
	}
	at := unix.AT_FDCWD
	_, _, e := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(name)),
		unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o666, 0, 0)
	if e != 0 {
		return os.NewSyscallError("openat", e)
	}
	return nil
}

// dropThreads drops all of many threads to a user, as a daemon does that was
// started by root, and then leaves a trace from one of them; --for D it lives on.
func dropThreads(args []string) error {
	ids, err := numbers(args[:1])
	if err != nil {
		return err
	}
	const threads = 8
	var started, dropped sync.WaitGroup
	release := make(chan struct{})
	errs := make(chan error, threads)
	started.Add(threads)
	dropped.Add(threads)
	for range threads {
		go func() {
			runtime.LockOSThread()
			started.Done()
			<-release
			if unix.Geteuid() != int(ids[0]) {
				errs <- errors.New("a thread has not dropped")
			}
			dropped.Done()
		}()
	}
	started.Wait()
	if err := syscall.Setresgid(int(ids[0]), int(ids[0]), int(ids[0])); err != nil {
		return fmt.Errorf("drop group: %v", err)
	}
	if err := syscall.Setresuid(int(ids[0]), int(ids[0]), int(ids[0])); err != nil {
		return fmt.Errorf("drop user: %v", err)
	}
	close(release)
	dropped.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	if err := touch(args[1:]); err != nil || len(args) < 4 || args[2] != "--for" {
		return err
	}
	return sleep(args[3:])
}

// chown gives a new file to uid 1, once or N times, which needs CAP_CHOWN, and then
// makes another.
func chown(args []string) error {
	if err := touch(args); err != nil {
		return err
	}
	times := 1
	if len(args) > 1 {
		var err error
		if times, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	for range times {
		if err := os.Chown(args[0], 1, 1); err != nil {
			return err
		}
	}
	return touch([]string{args[0] + ".after"})
}
