// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// touch makes a file: the trace of an instruction that was reached.
func touch(args []string) error {
	return os.WriteFile(args[0], nil, 0o666)
}

func sleep(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	time.Sleep(d)
	return nil
}

func execute(args []string) error { return argv0(append([]string{args[0]}, args...)) }

// threadExec executes from a thread that does not lead the process.
func threadExec(args []string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // keep the first thread, so that another is found
			done <- threadExec(args)
			return
		}
		done <- execute(args)
	}()
	return <-done
}

// fdExec executes a file by its descriptor.
func fdExec(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	empty := new(byte)
	_, _, errno := unix.Syscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(empty)),
		uintptr(unsafe.Pointer(&argv[0])), 0, unix.AT_EMPTY_PATH, 0)
	return fmt.Errorf("exec descriptor of %s: %v", args[0], errno)
}

// argv0 executes a program under another name.
func argv0(args []string) error {
	argv := append([]string{args[0]}, args[2:]...)
	return fmt.Errorf("exec %s: %w", args[1], unix.Exec(args[1], argv, os.Environ()))
}

// comm does something else under another thread name.
func comm(args []string) error {
	name, err := unix.ByteSliceFromString(args[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	// By way of proc, every thread can be given one: sockets are made by any.
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		err := os.WriteFile("/proc/self/task/"+task.Name()+"/comm", name[:len(name)-1], 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	os.Exit(run(args[1:]))
	return nil
}

// bindOver mounts this program over another's path, and executes that path.
func bindOver(args []string) error {
	// Through the path: a magic link to a deleted or moved file cannot be mounted.
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := unix.Mount(self, args[0], "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount over %s: %v", args[0], err)
	}
	return execute(args)
}

// unshareMountDial is bindOver in a mount namespace of its own.
func unshareMountDial(args []string) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %v", err)
	}
	return bindOver([]string{args[0], "dial", args[1], args[2]})
}

// copyFile copies a program.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}

// copyExec copies this program and executes the copy.
func copyExec(args []string) error {
	if err := copyFile("/proc/self/exe", args[0]); err != nil {
		return err
	}
	return execute(args)
}
