// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// use does one thing to a file, by the name of the operation, and leaves a trace of it:
// in the file, or in a second one.
func use(args []string) error {
	do, ok := map[string]func(file, trace string) error{
		"Read": readFile, "Write": appendFile, "Create": func(file, _ string) error { return touch([]string{file}) },
		"Delete": func(file, _ string) error { return os.Remove(file) }, "Rename": os.Rename, "Link": os.Link,
		"Chmod":     func(file, _ string) error { return os.Chmod(file, 0o777) },
		"Chown":     func(file, _ string) error { return os.Chown(file, 1, 1) },
		"MountOver": mountOver, "MmapExec": mapToRun,
		"Truncate":     func(file, _ string) error { return os.Truncate(file, 0) },
		"OpenTruncate": truncateByOpen,
	}[args[0]]
	if !ok {
		return fmt.Errorf("no use is named %s", args[0])
	}
	return do(args[1], args[2])
}

func readFile(file, trace string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(trace, b, 0o600)
}

func appendFile(file, _ string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("more")
	return err
}

func truncateByOpen(file, _ string) error {
	f, err := os.OpenFile(file, os.O_RDONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// mountOver puts an empty file over another, in a mount namespace that goes with it.
func mountOver(file, trace string) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("/dev/null", file, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return touch([]string{trace})
}

func mapToRun(file, trace string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE); err != nil {
		return err
	}
	return touch([]string{trace})
}
