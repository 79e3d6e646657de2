// SPDX-License-Identifier: Apache-2.0

package process

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// trickEnv makes the test binary play an attacker instead of running its tests.
const trickEnv = "SLUICE_TEST_TRICK"

// stage is where an attacker finds itself: allowed and other are copies of the shell,
// one that the rules allow and one that they do not.
type stage struct{ dir, allowed, other, loader, cgroup string }

func (s stage) path(name string) string { return filepath.Join(s.dir, name) }

// effect is what the attacker is after: the file that a shell makes with it. Only what
// the rules do not allow is asked to.
func (s stage) effect() string { return s.path("effect") }

func (s stage) argv(name string) []string { return []string{name, "-c", ": > " + s.effect()} }

// run has a child of the attacker's exec a program, and waits for it.
func run(sys *syscall.SysProcAttr, path string, argv ...string) error {
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Sys: sys, Files: []uintptr{0, 1, 2}})
	if err != nil {
		return err
	}
	_, err = syscall.Wait4(pid, nil, 0, nil)
	return err
}

type trick struct {
	name string
	play func(stage) error
	open bool // the effect is there, for the reason beside it
}

// tricks try to get other's effect, or that of a file which the container did not begin
// with, past a rule that allows the attacker's own program and allowed.
var tricks = []trick{
	{name: "a child", play: func(s stage) error { return run(nil, s.other, s.argv(s.other)...) }},
	{name: "the allowed program's argv[0]", play: func(s stage) error { return run(nil, s.other, s.argv(s.allowed)...) }},
	{name: "the allowed program's comm", play: comm},
	{name: "another thread", play: func(s stage) error { return thread(func() error { return execve(s.other, s.argv(s.other)) }) }},
	{name: "process 1 of a namespace", play: func(s stage) error {
		return run(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}, s.other, s.argv(s.other)...)
	}},
	{name: "a traced child", play: traced},
	{name: "a file in /proc/self/fd", play: func(s stage) error { return byFD(s, os.O_RDONLY) }},
	{name: "an O_PATH file in /proc/self/fd", play: func(s stage) error { return byFD(s, unix.O_PATH) }},
	{name: "execveat of an O_PATH file", play: execveat},
	{name: "a memfd with the allowed program's bytes", play: memfd},
	{name: "a copy of the allowed program", play: func(s stage) error {
		return first(copyFile(s.allowed, s.path("copy")), func() error { return run(nil, s.path("copy"), s.argv("copy")...) })
	}},
	{name: "writing over the allowed program", play: func(s stage) error {
		return first(copyFile(s.other, s.allowed), func() error { return run(nil, s.allowed, s.argv("x")...) })
	}},
	{name: "writing into it by a map", play: mapped},
	{name: "another name for it", play: func(s stage) error {
		return first(os.Link(s.allowed, s.path("link")), func() error { return run(nil, s.path("link"), s.argv("x")...) })
	}},
	{name: "a link in its place", play: func(s stage) error {
		return first(os.Remove(s.allowed), func() error {
			return first(os.Link(s.other, s.allowed), func() error { return run(nil, s.allowed, s.argv("x")...) })
		})
	}},
	{name: "a file moved over it", play: func(s stage) error {
		return first(os.Rename(s.other, s.allowed), func() error { return run(nil, s.allowed, s.argv("x")...) })
	}},
	{name: "a file mounted over it", play: func(s stage) error { return mounted(s, s.other) }},
	{name: "a mount namespace of its own", play: func(s stage) error {
		return thread(func() error {
			return first(unix.Unshare(unix.CLONE_NEWNS), func() error { return mounted(s, s.other) })
		})
	}},
	{name: "the allowed program there", play: func(s stage) error {
		return thread(func() error {
			return first(unix.Unshare(unix.CLONE_NEWNS), func() error { return execve(s.allowed, s.argv("x")) })
		})
	}},
	{name: "another root", play: chroot},
	{name: "another cgroup", play: leave},
	{name: "a path of 4095 bytes", play: deep},
	{name: "a name that is not UTF-8", play: func(s stage) error {
		at := s.allowed + "\xff"
		return first(os.Rename(s.other, at), func() error { return run(nil, at, s.argv("x")...) })
	}},
	{name: "a script of the allowed interpreter", play: func(s stage) error { return script(s, s.path("script")) }},
	{name: "the loader", play: load},

	// The kernel runs allowed, which reads its own input: so do all interpreters.
	{name: "the allowed interpreter's script", open: true, play: func(s stage) error {
		return first(os.WriteFile(s.path("script"), []byte(": > "+s.effect()), 0o644), func() error {
			return run(nil, s.allowed, s.allowed, s.path("script"))
		})
	}},
	// The interpreter opens the script again, by the name that the exec had.
	{name: "the allowed script by a link that changes", open: true, play: relinked},
	// The kernel runs the loader, which maps other: an allow list should not have it.
	{name: "a loader that is allowed", open: true, play: load},
}

// TestBypass plays each trick twice: where no rule holds, lest it fail for a reason of
// its own, and under the rules.
func TestBypass(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it loads the programs for each trick")
	}
	for i, trick := range tricks {
		t.Run(trick.name, func(t *testing.T) {
			r := killing(t)
			must(t, InstallScript(r.State))
			self, err := filepath.EvalSymlinks(os.Args[0])
			must(t, err)
			r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(20, self)})
			for _, ruled := range []bool{false, true} {
				s := stage{loader: loader(t, r.Shell), cgroup: filepath.Dir(r.Cgroup)}
				s.dir = bpftest.Overlay(t, func(lower string) error {
					return first(copyFile(r.Shell, filepath.Join(lower, "allowed")), func() error {
						return first(copyFile(r.Shell, filepath.Join(lower, "other")), func() error {
							return os.WriteFile(filepath.Join(lower, imageScript), []byte("#!/bin/sh\n"), 0o755)
						})
					})
				})
				s.allowed, s.other = s.path("allowed"), s.path("other")
				r.Settle(s.other)
				r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(21, s.allowed)})
				if trick.open {
					r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(22, s.loader)})
					r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(23, s.path(imageScript))})
				}
				cmd := exec.Command(self, s.dir, s.allowed, s.other, s.loader, s.cgroup)
				if ruled {
					cmd = r.Command(self, cmd.Args[1:]...)
				} else {
					cmd.SysProcAttr = &syscall.SysProcAttr{}
				}
				cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS /* a container: it has a beginning */
				cmd.Env = append(os.Environ(), trickEnv+"="+strconv.Itoa(i))
				out, _ := cmd.CombinedOutput()
				_, err := os.Stat(s.effect())
				if got, want := err == nil, !ruled || trick.open; got != want {
					t.Errorf("under rules: %t: the effect is there: %t, want %t; %s", ruled, got, want, out)
				}
			}
			if kills := r.Acts(state.ActionKill); (kills == 0) != trick.open {
				t.Errorf("%d kills counted", kills)
			}
		})
	}
}

func TestMain(m *testing.M) {
	i, err := strconv.Atoi(os.Getenv(trickEnv))
	if err != nil {
		os.Exit(m.Run())
	}
	a := os.Args
	if err := tricks[i].play(stage{a[1], a[2], a[3], a[4], a[5]}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// first is then, if there was no error before it.
func first(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	return first(err, func() error { return os.WriteFile(to, b, 0o755) })
}

func execve(path string, argv []string) error { return syscall.Exec(path, argv, nil) }

// loader is what the kernel starts a program by.
func loader(t *testing.T, program string) string {
	t.Helper()
	f, err := elf.Open(program)
	must(t, err)
	defer f.Close()
	b, err := f.Section(".interp").Data()
	must(t, err)
	path, err := filepath.EvalSymlinks(strings.TrimRight(string(b), "\x00"))
	must(t, err)
	return path
}

// thread does something on a thread that does not lead its process.
func thread(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- thread(do) /* this one is kept meanwhile */
			return
		}
		done <- do()
	}()
	return <-done
}

func load(s stage) error {
	return run(nil, s.loader, append([]string{s.loader}, s.argv(s.other)...)...)
}

func comm(s stage) error {
	name, err := unix.BytePtrFromString(filepath.Base(s.allowed))
	return first(err, func() error {
		return first(unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0), func() error {
			return execve(s.other, s.argv(s.allowed))
		})
	})
}

// traced stops at the exec, if the tracer may be told of it before the child dies.
func traced(s stage) error {
	runtime.LockOSThread()
	p, err := os.StartProcess(s.other, s.argv(s.other), &os.ProcAttr{Sys: &syscall.SysProcAttr{Ptrace: true}})
	if err != nil {
		return err
	}
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(p.Pid, &status, 0, nil); err != nil || !status.Stopped() {
			return err
		}
		if err := syscall.PtraceCont(p.Pid, 0); err != nil {
			return err
		}
	}
}

func byFD(s stage, flags int) error {
	fd, err := unix.Open(s.other, flags, 0)
	return first(err, func() error { return execve("/proc/self/fd/"+strconv.Itoa(fd), s.argv(s.allowed)) })
}

func execveat(s stage) error {
	fd, err := unix.Open(s.other, unix.O_PATH, 0)
	return first(err, func() error { return fexecve(fd, s) })
}

func fexecve(fd int, s stage) error {
	argv, err := syscall.SlicePtrFromStrings(s.argv(s.allowed))
	return first(err, func() error {
		_, _, errno := syscall.Syscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(new(byte))),
			uintptr(unsafe.Pointer(&argv[0])), 0, unix.AT_EMPTY_PATH, 0)
		return errno
	})
}

func memfd(s stage) error {
	fd, err := unix.MemfdCreate(s.allowed, 0)
	return first(err, func() error {
		b, err := os.ReadFile(s.allowed)
		return first(err, func() error {
			_, err := unix.Write(fd, b)
			return first(err, func() error { return fexecve(fd, s) })
		})
	})
}

// mapped leaves the writing to the kernel: no write(2) says that the file is another.
func mapped(s stage) error {
	f, err := os.OpenFile(s.allowed, os.O_RDWR|unix.O_NOATIME, 0)
	if err != nil {
		return err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	b[15] = 1 /* padding of the ELF header's */
	if err := unix.Munmap(b); err != nil {
		return err
	}
	return first(f.Close(), func() error { return run(nil, s.allowed, s.argv("x")...) })
}

func mounted(s stage, file string) error {
	return first(unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""), func() error {
		return first(unix.Mount(file, s.allowed, "", unix.MS_BIND, ""), func() error {
			return execve(s.allowed, s.argv("x"))
		})
	})
}

// chroot has other at the path of allowed, seen from the new root, which is its folder.
func chroot(s stage) error {
	root := s.dir
	for _, dir := range []string{filepath.Dir(s.allowed), "/lib", "/lib64", "/usr"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	return first(os.Rename(s.other, filepath.Join(root, s.allowed)), func() error {
		return first(chrootWithLibraries(root), func() error {
			return execve(s.allowed, []string{"x", "-c", ": > /" + filepath.Base(s.effect())})
		})
	})
}

func chrootWithLibraries(root string) error {
	err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
	for _, dir := range []string{"/lib", "/lib64", "/usr"} {
		err = first(err, func() error { return unix.Mount(dir, filepath.Join(root, dir), "", unix.MS_BIND, "") })
	}
	return first(err, func() error { return unix.Chroot(root) })
}

func leave(s stage) error {
	pid := []byte(strconv.Itoa(os.Getpid()))
	return first(os.WriteFile(filepath.Join(s.cgroup, "cgroup.procs"), pid, 0), func() error {
		return run(nil, s.other, s.argv("x")...)
	})
}

// deep goes where no path of the kernel's leads any more.
func deep(s stage) error {
	err := os.Chdir(s.dir)
	for n := len(s.dir); n < 4000; n += 101 {
		name := strings.Repeat("d", 100)
		err = first(err, func() error {
			return first(os.Mkdir(name, 0o755), func() error { return os.Chdir(name) })
		})
	}
	return first(err, func() error {
		return first(copyFile(s.allowed, filepath.Base(s.allowed)), func() error {
			return run(nil, "./"+filepath.Base(s.allowed), s.argv("x")...)
		})
	})
}

// imageScript is a script of the container's image.
const imageScript = "image.sh"

// relinked points a link elsewhere as soon as an exec by it cannot fail any more; the
// interpreter may have been faster.
func relinked(s stage) error {
	link, next, mine := s.path("link"), s.path("next"), s.path("mine")
	err := os.WriteFile(mine, []byte(": > "+s.effect()), 0o644)
	for n := 0; err == nil && n < 100; n++ {
		err = first(os.Symlink(s.path(imageScript), link), func() error { return os.Symlink(mine, next) })
		if err != nil {
			break
		}
		var pid int
		if pid, err = syscall.ForkExec(link, []string{link}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}}); err != nil {
			break
		}
		err = os.Rename(next, link)
		if _, e := syscall.Wait4(pid, nil, 0, nil); e != nil {
			return e
		}
		if _, e := os.Stat(s.effect()); e == nil {
			return nil
		}
		err = first(err, func() error { return os.Remove(link) })
	}
	return err
}

func script(s stage, at string) error {
	body := "#!" + s.allowed + "\n: > " + s.effect() + "\n"
	return first(os.WriteFile(at, []byte(body), 0o755), func() error { return run(nil, at, at) })
}
