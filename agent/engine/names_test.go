// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
)

// exec makes what the kernel says when a process becomes another program.
func exec(pid uint32, was, now uint64, path string) state.RawExecEvent {
	ev := state.RawExecEvent{Process: state.RawProcessEvent{Pid: pid, ParentPid: 1, ParentExecId: was, ExecId: now}}
	copy(ev.Path.Path[:], path)
	return ev
}

// events gives "type execId parentExecId" of what the engine was told.
func (f *fixture) events() []string {
	f.t.Helper()
	list, _ := f.journal.Events.Follow()
	var got []string
	for _, e := range list {
		got = append(got, fmt.Sprintf("%s %s %s", e.Type, e.Process.ExecID, e.Process.ParentExecID))
	}
	return got
}

// The parent of an image is that of the same process after an exec, and another's
// after a fork: what one event calls its exec id the next calls its parent's.
func TestParentExecID(t *testing.T) {
	tests := map[string]struct {
		tell func(f *fixture)
		want string
	}{
		"exit after exec": {func(f *fixture) {
			f.Exec(exec(7, 0x10, 0x20, "/bin/sh"))
			f.Process(state.RawProcessEvent{Type: state.ProcessExit, Pid: 7, ParentPid: 3, ExecId: 0x20, ParentExecId: 0x10})
		}, "exit 20-7 10-7"},
		"exit after fork": {func(f *fixture) {
			f.Process(state.RawProcessEvent{Type: state.ProcessFork, Pid: 8, ParentPid: 7, ExecId: 0x30, ParentExecId: 0x20})
			f.Process(state.RawProcessEvent{Type: state.ProcessExit, Pid: 8, ParentPid: 7, ExecId: 0x30, ParentExecId: 0x20})
		}, "exit 30-8 20-7"},
		"exit after exec, agent started since": {func(f *fixture) {
			f.Process(state.RawProcessEvent{Type: state.ProcessExit, Pid: 7, ParentPid: 3, ExecId: 0x20, ParentExecId: 0x10})
		}, "exit 20-7 10-7"},
		"exit after fork, agent started since": {func(f *fixture) {
			must(f.t, f.dp.State().Procs.Put(uint32(7), state.RawProc{Pid: 7, ExecId: 0x20}))
			f.Process(state.RawProcessEvent{Type: state.ProcessExit, Pid: 8, ParentPid: 7, ExecId: 0x30, ParentExecId: 0x20})
		}, "exit 30-8 20-7"},
		"escalation after fork": {func(f *fixture) {
			f.Process(state.RawProcessEvent{Type: state.ProcessFork, Pid: 8, ParentPid: 7, ExecId: 0x30, ParentExecId: 0x20})
			f.Escalation(state.RawEscalationEvent{Pid: 8, ExecId: 0x30, ParentExecId: 0x20})
		}, "escalation 30-8 20-7"},
		"escalation after fork, told by the record": {func(f *fixture) {
			must(f.t, f.dp.State().Procs.Put(uint32(7), state.RawProc{Pid: 7, ExecId: 0x20}))
			must(f.t, f.dp.State().Procs.Put(uint32(8), state.RawProc{Pid: 8, ExecId: 0x30, ParentExecId: 0x20, ParentPid: 7}))
			f.Escalation(state.RawEscalationEvent{Pid: 8, ExecId: 0x30, ParentExecId: 0x20})
		}, "escalation 30-8 20-7"},
		"escalation after exec": {func(f *fixture) {
			f.Exec(exec(7, 0x10, 0x20, "/bin/sh"))
			f.Escalation(state.RawEscalationEvent{Pid: 7, ExecId: 0x20, ParentExecId: 0x10})
		}, "escalation 20-7 10-7"},
		"escalation by exec": {func(f *fixture) {
			f.Escalation(state.RawEscalationEvent{Pid: 7, ExecId: 0x20, ParentExecId: 0x10, AtExec: 1})
		}, "escalation 20-7 10-7"},
	}
	f := newFixture(t, state.Sizes{Pods: 4})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f.t, f.names = t, newNames(f.dp, "/", nil)
			test.tell(f)
			got := f.events()
			if last := got[len(got)-1]; last != test.want {
				t.Errorf("%q, want %q", last, test.want)
			}
			for _, pid := range []uint32{7, 8} {
				_ = f.dp.State().Procs.Delete(pid)
			}
		})
	}
}

// The clock of a flow's last frame is coarse: it may lie before its start.
func TestFlowEndsAfterItsStart(t *testing.T) {
	f := newFixture(t, state.Sizes{Pods: 4})
	ev := state.RawFlowEvent{Time: 1_000_000_000, Start: 1_003_000_000}
	if got := f.flow(&ev); got.Time.Before(got.StartTime) {
		t.Errorf("time %s is before startTime %s", got.Time, got.StartTime)
	}
}

// The count of changes goes on after a restart, and after its file was torn.
func TestRevisionGoesOn(t *testing.T) {
	f := newFixture(t, state.Sizes{Pods: 4})
	for range 3 {
		must(t, f.Follow(cluster(nil)))
	}
	again := func() uint64 {
		e, err := New(f.cfg, f.dp, f.journal, f.log)
		must(t, err)
		must(t, e.Follow(cluster(nil)))
		return e.Status().Revision
	}
	if n := again(); n != 4 {
		t.Errorf("revision %d after a restart, want 4", n)
	}
	must(t, os.WriteFile(filepath.Join(f.cfg.StateDir, revisionFile), []byte("\x00\x00"), 0o600))
	if n := again(); n != 1 {
		t.Errorf("revision %d without a stored one, want 1", n)
	}
}

// Rules are told apart by their direction or section, and by all their paths' notes.
func TestRuleStatus(t *testing.T) {
	f := newFixture(t, state.Sizes{Pods: 4})
	two := []policy.Process{{Path: "/bin/a"}, {Path: "/bin/b"}}
	p := &policy.WorkloadPolicy{
		Namespace: "default", Name: "w", Isolates: [2]bool{true, true},
		Rules:      [2][]policy.Rule{policy.Ingress: {{}}, policy.Egress: {{Processes: two}}},
		Escalation: []policy.EscalationRule{{Action: policy.Kill}},
	}
	f.files.notes = map[string]string{"/bin/a": "/bin/a is /bin/c", "/bin/b": "/bin/b: not there"}
	got := f.policies(&policy.Cluster{WorkloadPolicies: []*policy.WorkloadPolicy{p}})
	want := []rpc.RuleStatus{
		{Direction: "ingress", Outcome: "denied"},
		{Direction: "egress", Outcome: "denied", Note: "/bin/a is /bin/c; /bin/b: not there"},
		{Section: "escalation", Outcome: "killed"},
	}
	if len(got) != 1 || fmt.Sprint(got[0].Rules) != fmt.Sprint(want) {
		t.Errorf("rules %+v, want %+v", got, want)
	}
}

// A container that could not be named once can be later.
func TestContainerIsNamedLater(t *testing.T) {
	cgroup := bpftest.Cgroup(t)
	var st syscall.Stat_t
	must(t, syscall.Stat(cgroup, &st))
	c := cgroups{root: t.TempDir(), names: make(map[uint64]string)}
	if name := c.container(st.Ino); name != "" {
		t.Errorf("%q outside of cgroups", name)
	}
	c.root = filepath.Dir(cgroup)
	if name := c.container(st.Ino); name != filepath.Base(cgroup) {
		t.Errorf("%q, want that of %s", name, cgroup)
	}
}

// What the agent has no room for, and what it tells without a name for it, is counted with
// what does not fit the kernel.
func TestBoundsAreCounted(t *testing.T) {
	f := newFixture(t, state.Sizes{Pods: 4})
	f.Process(state.RawProcessEvent{Type: state.ProcessExit, Pid: 7, ExecId: 0x20})
	must(t, f.keep(nil, 3, nil))
	c, err := f.Counters()
	must(t, err)
	if c.Full["names"] != 1 || c.Full["formers"] != 3 {
		t.Errorf("counted %v, want a name and 3 formers", c.Full)
	}
	for _, m := range f.Brief().Maps {
		if m.Name == "formers" && m.Full != 3 {
			t.Errorf("status has %+v", m)
		}
	}
}

// An event whose path is cut says so, also where all arguments of its process are known.
func TestCutPathIsTold(t *testing.T) {
	n := newNames(nil, "/", nil)
	id := execID{time: 1, pid: 7}
	n.put(id, rpc.Process{Args: []string{"all"}}, execID{})
	for _, cut := range []bool{true, false} {
		p := rpc.Process{Truncated: cut}
		if n.complete(&p, id); p.Truncated != cut || len(p.Args) != 1 {
			t.Errorf("%+v, want it truncated: %v", p, cut)
		}
	}
}

// A pod whose cgroup was not known at ADD has that of its first container.
func TestCgroupThatJoinedLate(t *testing.T) {
	f := newFixture(t, state.Sizes{Pods: 4}, "late", "early")
	cgroup := bpftest.Cgroup(t)
	f.cfg.CgroupRoot = filepath.Dir(cgroup)
	var st syscall.Stat_t
	must(t, syscall.Stat(cgroup, &st))
	for key, p := range f.pods {
		if p.Name == "early" {
			f.pods[key].Cgroup = "/given"
		}
		id := st.Ino + uint64(p.PodID) // of no folder
		if p.Name == "late" {
			id = st.Ino
			must(t, f.dp.State().Containers.Put(id+100, state.RawContainer{Slot: p.Slot, Pod: p.PodID}))
		}
		must(t, f.dp.State().Containers.Put(id, state.RawContainer{Slot: p.Slot, Pod: p.PodID}))
	}
	must(t, f.realise())
	got := make(map[string]string)
	for _, p := range f.Pods() {
		got[p.Name] = p.Cgroup
	}
	if got["late"] != cgroup || got["early"] != "/given" {
		t.Errorf("cgroups %v, want %s and /given", got, cgroup)
	}
}
