// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// watched is an instance with a pod that has a cgroup of the test's own.
func watched(t *testing.T) (s *state.State, cgroup string) {
	t.Helper()
	s, cgroup = unwatched(t)
	must(t, Install(s))
	return s, cgroup
}

// unwatched is the same before the programs are there; it has a cgroup "before".
func unwatched(t *testing.T) (s *state.State, cgroup string) {
	t.Helper()
	s, err := state.Create(bpftest.Dir(t), state.Sizes{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	t.Cleanup(func() {
		links, err := filepath.Glob(s.Dir.Link("*"))
		must(t, err)
		for _, l := range links {
			must(t, state.Unlink(l))
		}
	})
	cgroup = bpftest.Cgroup(t)
	below := filepath.Join(cgroup, "before")
	must(t, os.Mkdir(below, 0o755))
	t.Cleanup(func() { must(t, os.Remove(below)) })
	p := state.Pod{IfIndex: 7, Cookie: 7}
	for _, dir := range []string{cgroup, below} {
		var st syscall.Stat_t
		must(t, syscall.Stat(dir, &st))
		p.Cgroups = append(p.Cgroups, st.Ino)
	}
	must(t, s.Register(&p))
	return s, cgroup
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a program in a cgroup from its first instruction on.
func start(t *testing.T, cgroup, name string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := os.Open(cgroup)
	must(t, err)
	defer dir.Close()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func record(t *testing.T, s *state.State, pid int) (r state.RawProc, ok bool) {
	t.Helper()
	err := s.Procs.Lookup(uint32(pid), &r)
	return r, err == nil
}

// complete waits for the record of a process that has just been started: Start
// returns while the kernel is still in the midst of the exec, which is over when the
// new program has gone to sleep.
func complete(t *testing.T, s *state.State, pid int) (r state.RawProc) {
	t.Helper()
	until(t, "the process has a record, and sleeps", func() bool {
		var ok bool
		r, ok = record(t, s, pid)
		return ok && r.Flags != 0 && asleep(pid)
	})
	r, _ = record(t, s, pid)
	return r
}

// asleep reads the state behind the name, which is in parentheses (proc_pid_stat(5)).
func asleep(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" S"))
}

func pathOf(r state.RawProc) string {
	return string(r.Path.Path[:bytes.IndexByte(r.Path.Path[:], 0)])
}

func TestRecordFromExecToExit(t *testing.T) {
	s, cgroup := watched(t)
	cmd := start(t, cgroup, "/bin/sleep", "60")
	r := complete(t, s, cmd.Process.Pid)
	real, err := filepath.EvalSymlinks("/bin/sleep")
	must(t, err)
	var st syscall.Stat_t
	must(t, syscall.Stat(real, &st))
	if pathOf(r) != real || r.Program.Ino != st.Ino || r.Pid != uint32(cmd.Process.Pid) || r.ParentPid != uint32(os.Getpid()) {
		t.Errorf("record of %s: inode %d, pid %d of %d; want %s, inode %d", pathOf(r), r.Program.Ino, r.Pid, r.ParentPid, real, st.Ino)
	}
	const judged, image, onRoot = 1, 2, 16
	if r.Flags != judged|image|onRoot {
		t.Errorf("flags = %d, want judged, of the image and on its root", r.Flags)
	}
	must(t, cmd.Process.Kill())
	cmd.Wait()
	until(t, "the record goes", func() bool { _, ok := record(t, s, cmd.Process.Pid); return !ok })
}

func TestForkAndCgroupBelow(t *testing.T) {
	s, cgroup := watched(t)
	below := filepath.Join(cgroup, "below")
	must(t, os.Mkdir(below, 0o755))
	t.Cleanup(func() { must(t, os.Remove(below)) })
	cmd := start(t, below, "/bin/sh", "-c", "sleep 60 & wait")
	t.Cleanup(func() {
		must(t, os.WriteFile(filepath.Join(below, "cgroup.kill"), []byte("1"), 0o644))
		drained(t, below)
	})
	parent := complete(t, s, cmd.Process.Pid)
	var child state.RawProc
	until(t, "the child has its exec", func() bool {
		var pid uint32
		var r state.RawProc
		for it := s.Procs.Iterate(); it.Next(&pid, &r); {
			if r.ParentPid == parent.Pid && strings.HasSuffix(pathOf(r), "/sleep") {
				child = r
				return true
			}
		}
		return false
	})
	if child.Program.Container != parent.Program.Container || child.ExecId == parent.ExecId {
		t.Errorf("child in container %d, exec %d; parent in %d, exec %d",
			child.Program.Container, child.ExecId, parent.Program.Container, parent.ExecId)
	}
}

func TestOutsideProcessesHaveNoRecord(t *testing.T) {
	s, _ := watched(t)
	cmd := exec.Command("/bin/sleep", "60")
	must(t, cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if _, ok := record(t, s, cmd.Process.Pid); ok {
		t.Error("a process outside every pod has a record")
	}
}

func drained(t *testing.T, cgroup string) {
	t.Helper()
	until(t, cgroup+" is empty", func() bool {
		b, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
		return err == nil && len(b) == 0
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
