// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/state"
)

// listener reads what is told of processes.
type listener struct {
	*testing.T
	state  *state.State
	cgroup string
	ring   *ringbuf.Reader
	// backlog has been read and not been asked for.
	backlog []state.RawExecEvent
}

// listen is a watched pod of which the parts of asked are told.
func listen(t *testing.T, asked uint32) *listener {
	t.Helper()
	l := &listener{T: t}
	l.state, l.cgroup = watched(t)
	must(t, l.state.Settings.Put(uint32(0), state.RawNode{Tells: uint8(asked)}))
	var err error
	l.ring, err = ringbuf.NewReader(l.state.ProcessRing)
	must(t, err)
	t.Cleanup(func() { l.ring.Close() })
	return l
}

const all = state.TellExec | state.TellFork | state.TellExit | state.TellArgs

// told waits for an event of a type and a process; the ring does not wake its reader for
// an observation. What came before it is not looked at again.
func (l *listener) told(kind uint32, pid int) (found state.RawExecEvent) {
	l.Helper()
	until(l.T, fmt.Sprintf("type %d of process %d is told", kind, pid), func() bool {
		l.backlog = append(l.backlog, l.now()...)
		i := slices.IndexFunc(l.backlog, func(e state.RawExecEvent) bool {
			return e.Process.Type == kind && e.Process.Pid == uint32(pid)
		})
		if i < 0 {
			return false
		}
		found, l.backlog = l.backlog[i], l.backlog[i+1:]
		return true
	})
	return found
}

// now gives what has been told so far; of forks and exits there is no more than Process.
func (l *listener) now() (list []state.RawExecEvent) {
	l.Helper()
	l.ring.SetDeadline(time.Unix(1, 0))
	for {
		rec, err := l.ring.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return list
		}
		must(l.T, err)
		var e state.RawExecEvent
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e)), rec.RawSample)
		list = append(list, e)
	}
}

func words(p state.RawPathKey) string { return string(p.Path[:bytes.IndexByte(p.Path[:], 0)]) }

// argsOf are the arguments, each with a space behind it.
func argsOf(e state.RawExecEvent) string {
	return strings.ReplaceAll(string(e.Args[:min(e.ArgsLen, state.ArgsLen)]), "\x00", " ")
}

func inode(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return uint32(st.Ino)
}

// pause runs until it is killed, under a name of its own.
func pause(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // other users run it too
	real, err := filepath.EvalSymlinks("/bin/sleep")
	must(t, err)
	must(t, copyFile(real, dir+"/pause"))
	return dir + "/pause"
}

// What an exec tells is what the node shows of the process.
func TestExecIsTold(t *testing.T) {
	l := listen(t, all)
	program, dir := pause(t), t.TempDir()
	cmd := l.start(func(c *exec.Cmd) {
		c.Dir = dir
		c.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 2000}
		c.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_BIND_SERVICE}
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWUTS
	}, program, "60")
	pid := cmd.Process.Pid
	e := l.told(state.ProcessExec, pid)
	if words(e.Path) != program || words(e.Cwd) != dir || words(e.Interpreter) != "" || argsOf(e) != program+" 60 " {
		t.Errorf("%q in %q by %q with %q", words(e.Path), words(e.Cwd), words(e.Interpreter), argsOf(e))
	}
	var st unix.Statx_t
	must(t, unix.Statx(unix.AT_FDCWD, program, 0, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID_UNIQUE, &st))
	if e.Ino != st.Ino || e.Dev != st.Dev_major<<20|st.Dev_minor || e.Mount != st.Mnt_id {
		t.Errorf("file %d on %#x, mount %d; want %d on %d:%d, mount %d", e.Ino, e.Dev, e.Mount, st.Ino, st.Dev_major, st.Dev_minor, st.Mnt_id)
	}
	const bind = 1 << unix.CAP_NET_BIND_SERVICE
	s := e.Process.Standing
	if s.Uid != 1000 || s.Euid != 1000 || s.Gid != 2000 || s.Egid != 2000 || s.Permitted != bind || s.Effective != bind {
		t.Errorf("credentials %+v", s)
	}
	proc := fmt.Sprintf("/proc/%d/ns/", pid)
	for name, got := range map[string]uint32{
		"mnt": s.MntNs, "net": s.NetNs, "pid": s.PidNs, "user": s.UserNs, "cgroup": s.CgroupNs, "uts": s.UtsNs, "ipc": s.IpcNs,
	} {
		if want := inode(t, proc+name); got != want {
			t.Errorf("%s namespace %d, want %d", name, got, want)
		}
	}
	if s.UtsNs == inode(t, "/proc/self/ns/uts") {
		t.Error("the uts namespace is the node's")
	}
	must(t, cmd.Process.Kill())
	if x := l.told(state.ProcessExit, pid).Process; x.ExitCode != 9 || x.ExecId != e.Process.ExecId || x.Standing != s {
		t.Errorf("exit with %#x, exec id %d: %+v; want killed, %d: %+v", x.ExitCode, x.ExecId, x.Standing, e.Process.ExecId, s)
	}
}

// start runs a program in the pod.
func (l *listener) start(change func(*exec.Cmd), name string, args ...string) *exec.Cmd {
	l.Helper()
	dir, err := os.Open(l.cgroup)
	must(l.T, err)
	defer dir.Close()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	change(cmd)
	must(l.T, cmd.Start())
	l.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func same(*exec.Cmd) {}

func TestLongArgumentsAreCut(t *testing.T) {
	l := listen(t, all)
	cmd := l.start(same, "/bin/sh", "-c", "exit 3", strings.Repeat("x", 4*state.ArgsLen))
	e := l.told(state.ProcessExec, cmd.Process.Pid)
	if want := uint32(len("/bin/sh -c exit 3 ") + 4*state.ArgsLen + 1); e.ArgsLen != want || !strings.HasPrefix(argsOf(e), "/bin/sh -c exit 3 xxx") {
		t.Errorf("%d bytes of arguments, want %d: %q", e.ArgsLen, want, argsOf(e))
	}
	if x := l.told(state.ProcessExit, cmd.Process.Pid).Process; x.ExitCode != 3<<8 {
		t.Errorf("exit with %#x, want 3", x.ExitCode)
	}
}

// A script is told with the program that runs it.
func TestInterpreterIsTold(t *testing.T) {
	l := listen(t, all)
	if err := InstallScript(l.state); err != nil {
		t.Skip(err) // before 6.10
	}
	script, interpreter := filepath.Join(t.TempDir(), "script"), pause(t)
	must(t, os.WriteFile(script, []byte("#!"+interpreter+"\n"), 0o755))
	e := l.told(state.ProcessExec, l.start(same, script, "60").Process.Pid)
	if words(e.Path) != script || words(e.Interpreter) != interpreter || e.Ino != uint64(inode(t, script)) {
		t.Errorf("%q by %q, inode %d", words(e.Path), words(e.Interpreter), e.Ino)
	}
}

// A memfd has no path; its name is told without a slash, so no rule can mean it.
func TestMemfdIsTold(t *testing.T) {
	l := listen(t, all)
	b, err := os.ReadFile(pause(t))
	must(t, err)
	fd, err := unix.MemfdCreate("nowhere", 0)
	must(t, err)
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close()
	_, err = f.Write(b)
	must(t, err)
	cmd := l.start(func(c *exec.Cmd) { c.ExtraFiles = []*os.File{f} }, "/proc/self/fd/3", "60")
	e := l.told(state.ProcessExec, cmd.Process.Pid)
	if words(e.Path) != "memfd:nowhere" || e.Process.Flags&state.ProcCut == 0 {
		t.Errorf("path %q, flags %#x", words(e.Path), e.Process.Flags)
	}
}

// Threads are no processes; an exec by one that does not lead keeps the process's id.
// Go starts children by vfork.
func TestThreads(t *testing.T) {
	l := listen(t, all)
	self, err := filepath.EvalSymlinks(os.Args[0])
	must(t, err)
	i := slices.IndexFunc(tricks, func(x trick) bool { return x.name == "another thread" })
	dir := t.TempDir()
	cmd := l.start(func(c *exec.Cmd) { c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", trickEnv, i)) },
		self, dir, "/bin/sh", "/bin/sh", "/bin/sh", dir)
	pid := cmd.Process.Pid
	must(t, cmd.Wait())
	var execs []state.RawExecEvent
	until(t, "its end is told", func() bool {
		for _, e := range l.now() {
			switch {
			case e.Process.Type == state.ProcessFork:
				t.Errorf("a fork is told: %d by %d", e.Process.Pid, e.Process.ParentPid)
			case e.Process.Type == state.ProcessExec && e.Process.Pid == uint32(pid):
				execs = append(execs, e)
			case e.Process.Type == state.ProcessExit && e.Process.Pid == uint32(pid):
				return true
			}
		}
		return false
	})
	if len(execs) != 2 || words(execs[0].Path) != self || strings.Contains(words(execs[1].Path), "process.test") {
		t.Errorf("%d execs told, want that of the test and that of its thread", len(execs))
	} else if execs[1].Process.ParentExecId != execs[0].Process.ExecId {
		t.Error("the second exec does not come from the first")
	}
}

// An event leaves the kernel only if somebody asks for it, for all pods or for one; the
// first exec of a container does anyway.
func TestAsked(t *testing.T) {
	l := listen(t, 0)
	run := func() (kinds []uint32) {
		t.Helper()
		must(t, l.start(same, "/bin/sh", "-c", "(:); exit 0").Wait())
		until(t, "the processes are over", func() bool {
			var pid uint32
			var r state.RawProc
			return !l.state.Procs.Iterate().Next(&pid, &r)
		})
		for _, e := range l.now() {
			kinds = append(kinds, e.Process.Type)
			if e.Process.Type == state.ProcessExec && e.ArgsLen != 0 {
				t.Errorf("arguments %q are told", argsOf(e))
			}
		}
		return kinds
	}
	var slot uint32
	for _, test := range []struct {
		name             string
		settings, of     uint32
		exec, fork, exit bool
	}{
		{"a container begins", 0, 0, true, false, false},
		{"nothing", 0, 0, false, false, false},
		{"execs", state.TellExec, 0, true, false, false},
		{"forks of the pod", 0, state.TellFork, false, true, false},
		{"exits of the pod", state.TellFork, state.TellExit, false, true, true},
	} {
		must(t, l.state.Settings.Put(uint32(0), state.RawNode{Tells: uint8(test.settings)}))
		must(t, l.state.Subscribed.Put(slot, test.of))
		kinds := run()
		for kind, want := range map[uint32]bool{
			state.ProcessExec: test.exec, state.ProcessFork: test.fork, state.ProcessExit: test.exit,
		} {
			if slices.Contains(kinds, kind) != want {
				t.Errorf("%s: told %v, type %d wanted: %t", test.name, kinds, kind, want)
			}
		}
	}
}

// Each process of a pod counts once in the histograms.
func TestTimesAreCounted(t *testing.T) {
	l := listen(t, 0)
	const n = 5
	for range n {
		must(t, l.start(same, "/bin/sh", "-c", "exit 0").Wait())
	}
	for _, which := range []uint32{state.TimeLife, state.TimeExec} {
		var cpus []state.RawHistogram
		until(t, "all are counted", func() bool {
			must(t, l.state.Times.Lookup(which, &cpus))
			var count, sum uint64
			for _, h := range cpus {
				sum += h.Sum
				for _, b := range h.Buckets {
					count += b
				}
			}
			return count == n && sum > 0
		})
	}
}
