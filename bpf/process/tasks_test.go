// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluice-io/sluice/bpf/state"
)

func look(t *testing.T, s *state.State) *Tasks {
	t.Helper()
	tasks, err := LoadTasks(s)
	must(t, err)
	t.Cleanup(func() { must(t, tasks.Close()) })
	return tasks
}

// find gives what is seen of a process.
func (t *Tasks) find(tb *testing.T, pid int) (state.RawExecEvent, bool) {
	tb.Helper()
	list, err := t.List()
	must(tb, err)
	i := slices.IndexFunc(list, func(e state.RawExecEvent) bool { return e.Process.Pid == uint32(pid) })
	if i < 0 {
		return state.RawExecEvent{}, false
	}
	return list[i], true
}

// What is seen of a process later is what its exec told, and what has changed since.
func TestTasksAreSeen(t *testing.T) {
	l := listen(t, all)
	tasks := look(t, l.state)
	cmd := l.start(same, "/bin/sh", "-c", "cd /usr; (sleep 60; :); :")
	t.Cleanup(func() {
		must(t, os.WriteFile(filepath.Join(l.cgroup, "cgroup.kill"), []byte("1"), 0o644))
		drained(t, l.cgroup)
	})
	told := l.told(state.ProcessExec, cmd.Process.Pid)
	var list []state.RawExecEvent
	until(t, "the shell, its child and the child's program are there", func() bool {
		var err error
		list, err = tasks.List()
		must(t, err)
		slices.SortFunc(list, func(a, b state.RawExecEvent) int { return int(a.Process.ExecId) - int(b.Process.ExecId) })
		return len(list) == 3 && argsOf(list[2]) == "sleep 60 "
	})
	shell, fork, sleep := list[0], list[1], list[2]
	if shell.Process.ExecId != told.Process.ExecId || shell.Ino != told.Ino || argsOf(shell) != argsOf(told) ||
		shell.Process.Standing != told.Process.Standing || shell.Entry != 0 || words(shell.Path) != words(told.Path) {
		t.Errorf("seen %+v\ntold %+v", shell.Process, told.Process)
	}
	if words(shell.Cwd) != "/usr" {
		t.Errorf("working folder %q, want /usr", words(shell.Cwd))
	}
	if fork.Process.ParentPid != shell.Process.Pid || sleep.Process.ParentPid != fork.Process.Pid {
		t.Errorf("parents %d, %d of %d, %d", fork.Process.ParentPid, sleep.Process.ParentPid, fork.Process.Pid, sleep.Process.Pid)
	}
}

// A process that began while nobody watched has a record once it has been looked at,
// the same as often as it is.
func TestTasksBeforeUs(t *testing.T) {
	s, cgroup := unwatched(t)
	before := start(t, filepath.Join(cgroup, "before"), "/bin/sleep", "60")
	pid := before.Process.Pid
	outside := exec.Command("/bin/sleep", "60")
	must(t, outside.Start())
	defer func() { outside.Process.Kill(); outside.Wait() }()
	tasks := look(t, s)
	first, ok := tasks.find(t, pid)
	if !ok || first.Entry != 1 {
		t.Fatalf("seen: %t; its record is new: %d", ok, first.Entry)
	}
	r, _ := record(t, s, pid)
	const judged, image, onRoot = 1, 2, 16
	if r.Flags != judged|image|onRoot || r.Program.Container == 0 || r.Program.Ino != first.Ino || r.Program.Ino == 0 {
		t.Errorf("record %+v", r)
	}
	must(t, Install(s))
	again, ok := tasks.find(t, pid)
	if !ok || again.Entry != 0 || again.Process.ExecId != first.Process.ExecId {
		t.Errorf("seen again: %t, new %d, exec id %d, was %d", ok, again.Entry, again.Process.ExecId, first.Process.ExecId)
	}
	must(t, s.Procs.Delete(uint32(pid)))
	if anew, _ := tasks.find(t, pid); anew.Entry != 1 || anew.Process.ExecId != first.Process.ExecId {
		t.Errorf("a new record has exec id %d, the one before had %d", anew.Process.ExecId, first.Process.ExecId)
	}
	if _, ok := tasks.find(t, outside.Process.Pid); ok {
		t.Error("a process outside every pod is seen")
	}
	must(t, before.Process.Kill())
	before.Wait()
	until(t, "its end is told", func() bool { _, ok := record(t, s, pid); return !ok })
	if _, ok := tasks.find(t, pid); ok {
		t.Error("a process that is gone is seen")
	}
}
