// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// killing is a pod in which every exec but that of its shell is killed.
func killing(t *testing.T) *bpftest.Ruled {
	t.Helper()
	r := bpftest.NewRuled(t, "root", Install)
	r.Use(state.RawRuleset{Exec: [2]state.RawRuntimeHead{bpftest.Head(state.ActionKill)}})
	return r
}

func TestExecIsKilled(t *testing.T) {
	r := killing(t)
	other := r.Copy("other")
	r.Want("the shell", r.Runs("/bin/sh"), true)
	r.Want("another program", r.Runs(other), false)
	if n := r.Acts(state.ActionKill); n != 1 {
		t.Errorf("%d kills counted, want 1", n)
	}
	link := filepath.Join(r.Dir, "sh")
	must(t, os.Symlink(r.Shell, link))
	r.Want("the shell by a link", r.Runs(link), true)
	must(t, os.Remove(link))
	must(t, os.Symlink(other, link))
	r.Want("another program by the shell's name", r.Runs(link), false)
	script := filepath.Join(r.Dir, "script")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\n: > "+r.Effect()+"\n"), 0o755))
	r.Want("a script of the shell's", r.Runs(script), false)
	deep := r.Copy(strings.Repeat("long/", 60) + "other")
	r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(8, deep[:state.PathLen-1])})
	r.Want("a program with a path that is cut", r.Runs(deep), false)
	r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(8, other)})
	r.Want("the other program, allowed now", r.Runs(other), true)
	r.Use(state.RawRuleset{})
	r.Want("any program without rules", r.Runs(deep), true)
}

// The entry of a container is judged like any exec.
func TestEntryIsKilled(t *testing.T) {
	r := killing(t)
	head := bpftest.Head(state.ActionKill)
	head.List = 0
	r.Use(state.RawRuleset{Exec: [2]state.RawRuntimeHead{head}})
	err := r.Command("/bin/sh", "-c", ": > "+r.Effect()).Run()
	if e, ok := err.(*exec.ExitError); !ok || e.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the entry ended with %v, want SIGKILL", err)
	}
	if _, err := os.Stat(r.Effect()); err == nil {
		t.Error("the entry ran")
	}
}

// A process for which there was no room has a record from its next exec on, and is
// what it runs.
func TestExecOfOrphan(t *testing.T) {
	r := killing(t)
	other := r.Copy("other")
	r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(8, other)})
	r.Want("an orphan's program, with room again", r.RunsOrphan(other), true)
}

func TestExecOfFolders(t *testing.T) {
	const files, below = 6, 7
	r := killing(t)
	near, far := r.Copy("bin/other"), r.Copy("bin/far/away/other")
	r.Folder(r.Dir+"/bin/", files, 0)
	r.Permit(state.RawPermit{List: bpftest.List, Program: files})
	r.Want("a file of the folder", r.Runs(near), true)
	r.Want("a file below it", r.Runs(far), false)
	r.Folder(r.Dir+"/bin/", 0, below)
	r.Permit(state.RawPermit{List: bpftest.List, Program: below})
	r.Want("a file at some depth", r.Runs(far), true)
	r.Want("a file at no depth", r.Runs(near), true)
	r.Want("a file beside it", r.Runs(r.Copy("binary")), false)
	r.Folder(r.Dir+"/bin/far/", 0, 8)
	r.Want("a file below a folder that is not allowed", r.Runs(far), false)
}

func TestExecByParents(t *testing.T) {
	r := killing(t)
	head := bpftest.Head(state.ActionKill)
	head.Parents = 1
	r.Use(state.RawRuleset{Exec: [2]state.RawRuntimeHead{head}})
	a, b := r.Copy("a"), r.Copy("b")
	r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(20, a)})
	r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(21, b), Parent: 20})
	r.Want("a program that its parent may run", r.Runs(a, "-c", "'"+b+"' \"$@\" & wait $!; exit $?", "-"), true)
	r.Want("one that the shell may not run", r.Runs(b), false)
}

// What Audit policies alone would do is counted and does not happen; nor does what
// is done in audit, or could not be done.
func TestExecIsAudited(t *testing.T) {
	for name, tc := range map[string]struct {
		heads [2]state.RawRuntimeHead
		want  uint32
	}{
		"an Audit policy": {[2]state.RawRuntimeHead{1: bpftest.Head(state.ActionKill)}, state.ActionAudit},
		"the action":      {[2]state.RawRuntimeHead{bpftest.Head(state.ActionAudit)}, state.ActionAudit},
		"observed":        {[2]state.RawRuntimeHead{bpftest.Head(state.ActionObserve)}, state.ActionObserve},
	} {
		t.Run(name, func(t *testing.T) {
			r := killing(t)
			r.Use(state.RawRuleset{Exec: tc.heads})
			r.Want("a program that is not allowed", r.Runs(r.Copy("other")), true)
			if n := r.Acts(tc.want); n != 1 {
				t.Errorf("counted %d times, want 1", n)
			}
		})
	}
}
