// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/lsm"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/state"
)

const (
	useEnv  = "SLUICE_TEST_USE"
	content = "the secret"
	covered = 30 // the folder's files, at any depth

	resolved = 1 // RESOLVED of bpf/include/act_types.h
)

// A folder of the test's has what the rules cover below secret, and free beside it.
type place string

func (p place) secret(name string) string { return filepath.Join(string(p), "secret", name) }
func (p place) free(name string) string   { return filepath.Join(string(p), "free", name) }

func (p place) fill() error {
	return errors.Join(os.MkdirAll(p.secret("folder"), 0o755), os.MkdirAll(p.free("folder"), 0o755),
		os.WriteFile(p.secret("file"), []byte(content), 0o644), os.WriteFile(p.free("file"), []byte("free"), 0o644))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func stat(path string) (st unix.Stat_t) {
	_ = unix.Lstat(path, &st)
	return st
}

func wrote(p place) bool {
	b, err := os.ReadFile(p.secret("file"))
	return err != nil || string(b) != content
}

// uses are each what a process does, and whether a look at the folder tells that it did.
// What is read or mapped, it prints.
var uses = []struct {
	name      string
	operation uint32
	do        func(place) error
	done      func(place) bool // 0: it is printed
}{
	{"read", state.OpRead, func(p place) error { return show(os.ReadFile(p.secret("file"))) }, nil},
	{"read by io_uring", state.OpRead, func(p place) error { return uring(stage{place: p}) }, nil},
	{"list", state.OpRead, func(p place) error {
		_, err := os.ReadDir(p.secret("folder"))
		return show([]byte(content), err)
	}, nil},
	{"write", state.OpWrite, func(p place) error {
		f, err := os.OpenFile(p.secret("file"), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("written")
		return err
	}, wrote},
	{"create", state.OpCreate, func(p place) error {
		f, err := os.OpenFile(p.secret("new"), os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			err = f.Close()
		}
		return err
	}, made},
	{"mkdir", state.OpCreate, func(p place) error { return os.Mkdir(p.secret("new"), 0o700) }, made},
	{"mknod", state.OpCreate, func(p place) error { return unix.Mknod(p.secret("new"), unix.S_IFIFO, 0) }, made},
	{"symlink", state.OpCreate, func(p place) error { return os.Symlink("file", p.secret("new")) }, made},
	{"bind", state.OpCreate, func(p place) error {
		_, err := net.Listen("unix", p.secret("new"))
		return err
	}, made},
	{"unlink", state.OpDelete, func(p place) error { return unix.Unlink(p.secret("file")) }, func(p place) bool { return !exists(p.secret("file")) }},
	{"rmdir", state.OpDelete, func(p place) error { return unix.Rmdir(p.secret("folder")) }, func(p place) bool { return !exists(p.secret("folder")) }},
	{"rename", state.OpRename, func(p place) error { return os.Rename(p.secret("file"), p.secret("new")) }, made},
	{"rename away", state.OpRename, func(p place) error { return os.Rename(p.secret("file"), p.free("new")) }, func(p place) bool { return exists(p.free("new")) }},
	{"rename onto", state.OpRename, func(p place) error { return os.Rename(p.free("file"), p.secret("file")) }, wrote},
	{"exchange", state.OpRename, func(p place) error {
		return unix.Renameat2(unix.AT_FDCWD, p.free("file"), unix.AT_FDCWD, p.secret("file"), unix.RENAME_EXCHANGE)
	}, wrote},
	{"link", state.OpLink, func(p place) error { return os.Link(p.secret("file"), p.secret("new")) }, made},
	{"link to another folder", state.OpLink, func(p place) error { return os.Link(p.secret("file"), p.free("new")) }, func(p place) bool { return exists(p.free("new")) }},
	{"link from there", state.OpLink, func(p place) error { return os.Link(p.free("file"), p.secret("new")) }, made},
	{"chmod", state.OpChmod, func(p place) error { return os.Chmod(p.secret("file"), 0o777) }, func(p place) bool { return stat(p.secret("file")).Mode&0o777 != 0o644 }},
	{"fchmod", state.OpChmod, func(p place) error {
		f, err := os.Open(p.secret("file"))
		if err != nil {
			return err
		}
		return f.Chmod(0o777)
	}, func(p place) bool { return stat(p.secret("file")).Mode&0o777 != 0o644 }},
	{"access control list", state.OpChmod, func(p place) error {
		// acl(5) as an extended attribute: version 2, then tag, permissions and id of each entry.
		acl := []byte("\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x07\x00\xff\xff\xff\xff\x20\x00\x07\x00\xff\xff\xff\xff")
		return unix.Setxattr(p.secret("file"), "system.posix_acl_access", acl, 0)
	}, func(p place) bool { return stat(p.secret("file")).Mode&0o777 != 0o644 }},
	{"chown", state.OpChown, func(p place) error { return os.Chown(p.secret("file"), 1, 1) }, func(p place) bool { return stat(p.secret("file")).Uid != 0 }},
	{"mount", state.OpMountOver, func(p place) error {
		return unix.Mount(p.free("file"), p.secret("file"), "", unix.MS_BIND, "")
	}, wrote},
	{"move_mount", state.OpMountOver, func(p place) error {
		fd, err := unix.OpenTree(unix.AT_FDCWD, p.free("file"), unix.OPEN_TREE_CLONE)
		if err != nil {
			return err
		}
		return unix.MoveMount(fd, "", unix.AT_FDCWD, p.secret("file"), unix.MOVE_MOUNT_F_EMPTY_PATH)
	}, wrote},
	{"mmap", state.OpMmapExec, func(p place) error { return mapFile(p, unix.PROT_READ|unix.PROT_EXEC) }, nil},
	{"mprotect", state.OpMmapExec, func(p place) error { return mapFile(p, unix.PROT_READ) }, nil},
	{"truncate", state.OpTruncate, func(p place) error { return unix.Truncate(p.secret("file"), 1) }, wrote},
	{"open to truncate", state.OpTruncate, func(p place) error {
		_, err := os.OpenFile(p.secret("file"), os.O_WRONLY|os.O_TRUNC, 0)
		return err
	}, wrote},
	{"ftruncate", state.OpTruncate, func(p place) error {
		f, err := os.OpenFile(p.secret("file"), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return f.Truncate(1)
	}, wrote},
}

func made(p place) bool { return exists(p.secret("new")) }

func show(b []byte, err error) error {
	if err == nil {
		_, err = os.Stdout.Write(b)
	}
	return err
}

// mapFile shows what it has mapped to be run.
func mapFile(p place, prot int) error {
	f, err := os.Open(p.secret("file"))
	if err != nil {
		return err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, len(content), prot, unix.MAP_PRIVATE)
	if err == nil && prot&unix.PROT_EXEC == 0 {
		err = unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC)
	}
	return show(b, err)
}

func TestMain(m *testing.M) {
	var err error
	if trick, ok := os.LookupEnv(trickEnv); ok {
		err = playing(trick)
	} else if i, no := strconv.Atoi(os.Getenv(useEnv)); no == nil {
		err = uses[i].do(place(os.Args[1]))
	} else {
		os.Exit(m.Run())
	}
	if errors.Is(err, syscall.EPERM) {
		os.Exit(1)
	} else if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	os.Exit(0)
}

func attach(s *state.State) error { return Attach(s, Programs(1<<len(byOperation)-1)...) }

// guarded is a pod under rules on files.
func guarded(t *testing.T) *bpftest.Ruled {
	t.Helper()
	r := bpftest.NewRuled(t, "lsm", lsm.Try, process.Install, attach)
	r.Use(state.RawRuleset{Files: [2]uint32{bpftest.List}})
	r.Resolve(resolved)
	return r
}

// inContainer is the same pod with a container of t's own, which the agent has looked at.
func inContainer(t *testing.T, r *bpftest.Ruled) *bpftest.Ruled {
	t.Helper()
	of := r.Container(t)
	var st syscall.Stat_t
	must(t, syscall.Stat(of.Cgroup, &st))
	of.Pod.Cgroups = []uint64{st.Ino}
	of.Resolve(resolved)
	return of
}

// outcome is how a use went.
type outcome struct{ done, refused, killed bool }

// TestUse has each use made where no rule is on the operation, and under each action.
func TestUse(t *testing.T) {
	r := guarded(t)
	names := []string{state.ActionIgnore: "no rule", state.ActionAudit: "Audit", state.ActionDeny: "Deny", state.ActionKill: "Kill"}
	for i, use := range uses {
		t.Run(use.name, func(t *testing.T) {
			for _, action := range []uint32{state.ActionIgnore, state.ActionAudit, state.ActionDeny, state.ActionKill} {
				if action != state.ActionIgnore {
					r.Guard(covered, use.operation, action)
				}
				p := place(filepath.Join(r.Dir, names[action]))
				must(t, p.fill())
				r.Folder(p.secret("")+"/", 0, covered)
				r.Place(p.secret(""), 0, covered) // an access control list goes by it alone
				before := r.Acts(action)
				cmd := r.Command(os.Args[0], string(p))
				cmd.Env = append(os.Environ(), useEnv+"="+strconv.Itoa(i))
				got, out := ending(t, cmd)
				if use.done != nil {
					got.done = use.done(p)
				} else {
					got.done = bytes.Contains(out, []byte(content))
				}
				for unix.Unmount(p.secret("file"), unix.MNT_DETACH) == nil {
				}
				want := outcome{action <= state.ActionAudit, action == state.ActionDeny, action == state.ActionKill}
				if got != want {
					t.Errorf("%s: %+v, want %+v; %s", names[action], got, want, out)
				}
				if n, want := r.Acts(action)-before, uint64(min(action, 1)); n != want {
					t.Errorf("%s: counted %d times, want %d", names[action], n, want)
				}
				must(t, os.RemoveAll(string(p)))
			}
			r.Unguard(covered, use.operation)
		})
	}
}

// TestExecMapsNothing: what an exec maps is none of the process's that asks for it.
func TestExecMapsNothing(t *testing.T) {
	r := guarded(t)
	r.Guard(covered, state.OpMmapExec, state.ActionDeny)
	r.Folder(filepath.Dir(r.Copy("secret/sh"))+"/", 0, covered)
	r.Want("a program that the shell may not map", r.Runs(r.Dir+"/secret/sh"), true)
}

func ending(t *testing.T, cmd *exec.Cmd) (o outcome, out []byte) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var e *exec.ExitError
	if errors.As(err, &e) {
		status := e.Sys().(syscall.WaitStatus)
		o.killed = status.Signaled() && status.Signal() == syscall.SIGKILL
		o.refused = status.ExitStatus() == 1
		if !o.killed && !o.refused {
			t.Errorf("%v: %s", err, out)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	return o, out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
