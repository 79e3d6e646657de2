// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// trickEnv makes the test binary play an attacker instead of running its tests.
const trickEnv = "SLUICE_TEST_TRICK"

// stage is where an attacker finds itself, and what it is helped with from outside: a
// socket at descriptor 3, and the process that has the file open at a descriptor. Rules
// leave what is below secret to the shell.
type stage struct {
	place
	shell, loader, cgroup string
	helper, fd            int
}

func (s stage) path(name string) string { return filepath.Join(string(s.place), name) }

// tricks try to print what is in a file that others may read, for which the attacker
// opens it by another way, gives it another name, or has it given.
var tricks = []struct {
	name string
	play func(stage) error
	open bool // it is printed, for the reason beside it
	away bool // so it is without BPF LSM: another name is given to it, or no call of the process opens it
}{
	{name: "its name", play: func(s stage) error { return cat(s.secret("file")) }},
	{name: "a link", play: func(s stage) error {
		return first(os.Symlink(s.secret("file"), s.free("link")), func() error { return cat(s.free("link")) })
	}},
	{name: "a link to the folder", play: func(s stage) error {
		return first(os.Symlink(s.secret(""), s.free("link")), func() error { return cat(s.free("link/file")) })
	}},
	{name: "a race of links", play: race},
	{name: "openat2", play: openat2},
	{name: "a new name", away: true, play: func(s stage) error {
		return first(os.Rename(s.secret("file"), s.free("new")), func() error { return cat(s.free("new")) })
	}},
	{name: "an exchange of names", away: true, play: func(s stage) error {
		err := unix.Renameat2(unix.AT_FDCWD, s.free("file"), unix.AT_FDCWD, s.secret("file"), unix.RENAME_EXCHANGE)
		return first(err, func() error { return cat(s.free("file")) })
	}},
	{name: "a new name for its folder", play: func(s stage) error {
		return first(os.Rename(s.secret(""), s.free("new")), func() error { return cat(s.free("new/file")) })
	}},
	{name: "another name", away: true, play: func(s stage) error {
		return first(os.Link(s.secret("file"), s.free("new")), func() error { return cat(s.free("new")) })
	}},
	{name: "another name for an O_PATH file", away: true, play: linkPath},
	{name: "an O_PATH file, opened anew", play: reopen},
	{name: "an O_PATH folder, unmounted", play: unmounted},
	{name: "a file handle", play: func(s stage) error { return handle(s, string(s.place)) }},
	{name: "a file handle, by another mount", play: func(s stage) error {
		return first(bind(s.free(""), s.path("other")), func() error { return handle(s, s.path("other")) })
	}},
	{name: "a bind mount", play: func(s stage) error {
		return first(bind(s.secret(""), s.free("folder")), func() error { return cat(s.free("folder/file")) })
	}},
	{name: "a bind mount of the file", play: func(s stage) error {
		return first(bind(s.secret("file"), s.free("file")), func() error { return cat(s.free("file")) })
	}},
	{name: "a bind mount of all", play: func(s stage) error {
		return first(bind(string(s.place), s.path("other")), func() error { return cat(s.path("other/secret/file")) })
	}},
	{name: "a detached mount", play: detached},
	{name: "an overlay", away: true, play: func(s stage) error { return overlaid(s, "") }},
	{name: "a mount namespace of its own, as a user", play: func(s stage) error { return again(s, "bind") }},
	{name: "an overlay there", away: true, play: func(s stage) error { return again(s, "overlay") }},
	{name: "another root", play: func(s stage) error {
		return first(unix.Chroot(string(s.place)), func() error { return cat("/secret/file") })
	}},
	{name: "another root that is mounted", play: func(s stage) error {
		return first(bind(s.secret(""), s.path("other")), func() error {
			return first(unix.Chroot(s.path("other")), func() error { return cat("/file") })
		})
	}},
	{name: "a process's root", play: func(s stage) error { return cat("/proc/self/root" + s.secret("file")) }},
	{name: "the root of a process outside", play: func(s stage) error {
		return cat("/proc/" + strconv.Itoa(s.helper) + "/root" + s.secret("file"))
	}},
	{name: "folders 40 deep", play: func(s stage) error { return deep(s, 40, 3) }},
	{name: "a path of 4095 bytes", play: func(s stage) error { return deep(s, 40, 100) }},
	{name: "a path of 9000 bytes", play: func(s stage) error { return deep(s, 90, 100) }},
	{name: "a name that is not UTF-8", play: func(s stage) error { return cat(s.secret("\xff\xfe")) }},
	{name: "io_uring", away: true, play: uring},
	{name: "sendfile", play: sendfile},
	{name: "a map", play: mapped},
	{name: "a call of 32 bits", play: int80},
	{name: "a passed descriptor", away: true, play: passed},
	{name: "another's descriptor", away: true, play: taken},
	{name: "another's descriptor in /proc", play: func(s stage) error {
		return cat(fmt.Sprintf("/proc/%d/fd/%d", s.helper, s.fd))
	}},
	{name: "another cgroup", play: func(s stage) error {
		pid := []byte(strconv.Itoa(os.Getpid()))
		return first(os.WriteFile(filepath.Join(s.cgroup, "cgroup.procs"), pid, 0), func() error { return cat(s.secret("file")) })
	}},
	{name: "the loader", play: func(s stage) error { return run(s.loader, s.shell, "-c", "read x <"+s.secret("file")+"; echo $x") }},
	{name: "a copy of the shell", play: func(s stage) error {
		b, err := os.ReadFile(s.shell)
		return first(err, func() error {
			return first(os.WriteFile(s.path("sh"), b, 0o755), func() error {
				return run(s.path("sh"), "-c", "read x <"+s.secret("file")+"; echo $x")
			})
		})
	}},
	// The shell is allowed: so is all that it can be told to do.
	{name: "the shell", open: true, play: func(s stage) error { return run(s.shell, "-c", "read x <"+s.secret("file")+"; echo $x") }},
	// Who may read may pass it on, as bytes or as a descriptor that is inherited.
	{name: "a copy by the shell", open: true, play: func(s stage) error {
		err := run(s.shell, "-c", "read x <"+s.secret("file")+"; echo $x >"+s.free("copy"))
		return first(err, func() error { return cat(s.free("copy")) })
	}},
	{name: "a descriptor of the shell's", open: true, play: func(s stage) error {
		return run(s.shell, "-c", "exec "+busybox+" cat <"+s.secret("file"))
	}},
}

// busybox is there in every guest.
const busybox = "/bin/busybox"

// TestBypass plays each trick twice: where no rule holds, lest it fail for a reason of
// its own, and under rules on reading.
func TestBypass(t *testing.T) {
	bypass(t, guarded(t), state.ActionDeny, func(i int) bool { return tricks[i].open })
}

func bypass(t *testing.T, r *bpftest.Ruled, action uint32, open func(trick int) bool) {
	t.Helper()
	for i, trick := range tricks {
		t.Run(trick.name, func(t *testing.T) {
			r.Unguard(covered, state.OpRead)
			if out := play(t, r, i); !bytes.Contains(out, []byte(content)) {
				t.Errorf("without rules it is not printed: %q", out)
			}
			r.Guard(covered, state.OpRead, action)
			before := r.Acts(action)
			out := play(t, r, i)
			if got := bytes.Contains(out, []byte(content)); got != open(i) {
				t.Errorf("under rules it is printed: %t, want %t; %q", got, open(i), out)
			}
			if got := r.Acts(action) > before; got == open(i) {
				t.Errorf("it is counted: %t", got)
			}
		})
	}
}

// play plays a trick in a container of its own.
func play(t *testing.T, pod *bpftest.Ruled, trick int) []byte {
	t.Helper()
	r := inContainer(t, pod)
	dir := r.Dir
	must(t, errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	defer func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	s := stage{place: place(dir), shell: r.Shell, loader: loader(t, r.Shell), cgroup: filepath.Dir(pod.Cgroup), helper: os.Getpid()}
	must(t, s.fill())
	must(t, os.WriteFile(s.secret("\xff\xfe"), []byte(content), 0o644))
	must(t, os.Mkdir(s.path("other"), 0o755))
	f, err := os.Open(s.secret("file"))
	must(t, err)
	defer f.Close()
	s.fd = int(f.Fd())
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(ends[0])
	must(t, unix.Sendmsg(ends[0], []byte("x"), unix.UnixRights(s.fd), nil, 0))

	r.Found(s.shell, bpftest.Shell)
	r.Folder(s.secret("")+"/", 0, covered)
	r.Place(s.secret(""), 0, covered)

	cmd := r.Command(os.Args[0], dir, s.shell, s.loader, s.cgroup, strconv.Itoa(s.helper), strconv.Itoa(s.fd))
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS /* a container: it has a beginning */
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(ends[1]), "socket")}
	defer cmd.ExtraFiles[0].Close()
	cmd.Env = append(os.Environ(), trickEnv+"="+strconv.Itoa(trick))
	out, _ := cmd.CombinedOutput()
	return out
}

// stageOf reads the arguments that play gives.
func stageOf(a []string) stage {
	s := stage{place: place(a[0]), shell: a[1], loader: a[2], cgroup: a[3]}
	s.helper, _ = strconv.Atoi(a[4])
	s.fd, _ = strconv.Atoi(a[5])
	return s
}

func (s stage) args() []string {
	return []string{string(s.place), s.shell, s.loader, s.cgroup, strconv.Itoa(s.helper), strconv.Itoa(s.fd)}
}

// playing is the attacker's main.
func playing(trick string) error {
	if trick == "cat" {
		return cat(os.Args[1])
	}
	s := stageOf(os.Args[1:])
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if step, ok := strings.CutPrefix(trick, "again "); ok {
		return steps[step](s)
	}
	i, err := strconv.Atoi(trick)
	if err != nil {
		return err
	}
	return tricks[i].play(s)
}
