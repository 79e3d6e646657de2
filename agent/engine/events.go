// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
)

// Exec takes an exec of a pod's process. A container that has not been looked into
// is, now that it has a process.
func (e *Engine) Exec(ev state.RawExecEvent) {
	process := e.names.exec(&ev)
	lineage := e.names.lineage(execID{ev.Process.ExecId, ev.Process.Pid})
	e.observe(&ev.Process, rpc.Event{Type: "exec", Process: process, Lineage: lineage})
	if ev.Entry != 0 || e.files.waits(ev.Process.Container) {
		e.later()
	}
}

// Process takes a fork or an exit.
func (e *Engine) Process(ev state.RawProcessEvent) {
	out := rpc.Event{Type: "fork", Process: e.names.process(&ev)}
	if ev.Type == state.ProcessExit {
		out.Type = "exit"
		status := syscall.WaitStatus(ev.ExitCode)
		code := status.ExitStatus()
		if status.Signaled() {
			out.Signal = unix.SignalName(status.Signal())
			code = 128 + int(status.Signal())
		}
		out.ExitCode = &code
	}
	e.observe(&ev, out)
}

// observe completes and keeps an event that only tells.
func (e *Engine) observe(ev *state.RawProcessEvent, out rpc.Event) {
	name := e.view.pod(ev.Pod)
	out.Time = e.wall.at(ev.Time)
	out.Outcome = "observed"
	out.Pod = rpc.PodRef{Namespace: name.key.Namespace, Name: name.key.Name}
	e.report(out)
}

// Escalation takes a gain of privilege and what the kernel did about it.
func (e *Engine) Escalation(ev state.RawEscalationEvent) {
	name := e.view.pod(ev.Pod)
	outcome := "observed"
	switch ev.Action {
	case state.ActionKill:
		outcome = "killed"
	case state.ActionAudit:
		outcome = "audited"
	}
	id := execID{ev.ExecId, ev.Pid}
	out := rpc.Event{
		Time: e.wall.at(ev.Time), Type: "escalation", Class: "Privileges", Outcome: outcome,
		Pod: rpc.PodRef{Namespace: name.key.Namespace, Name: name.key.Name},
		Process: rpc.Process{
			Path: text(ev.Path[:]), PID: ev.Pid, UID: ev.To.Uid[0], ExecID: id.String(),
			ParentExecID: e.parentOf(id, ev.ParentExecId, ev.AtExec != 0),
		},
		Rule: e.view.rule(ev.Rule), Detail: detail(&ev), ContainerEnded: ev.Init != 0 && outcome == "killed",
	}
	e.names.complete(&out.Process, id)
	out.Lineage = e.names.lineage(id)
	e.report(out)
}

// parentOf is the exec id before that of a process image, which an exec has just made or
// not. What is enforced has a ring of its own: the fork or exec that made the image may
// not have been read.
func (e *Engine) parentOf(id execID, time uint64, atExec bool) string {
	if !e.names.knows(id) {
		e.dp.Sync()
	}
	if atExec {
		return execID{time, id.pid}.String()
	}
	parent := id.pid
	if r, ok := e.dp.Process(id.pid); ok && r.ExecId == id.time {
		parent = r.ParentPid
	}
	return e.names.parent(id, time, parent)
}

// report keeps and counts an event.
func (e *Engine) report(ev rpc.Event) {
	e.totals.mu.Lock()
	e.totals.byKind[[2]string{ev.Type, ev.Outcome}]++
	e.totals.mu.Unlock()
	ev.Tier = e.tier()
	e.journal.Events.Add(ev)
}

// eventTotals counts events by type and outcome.
type eventTotals struct {
	mu     sync.Mutex
	byKind map[[2]string]uint64
}

// EventTotals counts the events since the agent started, by type and outcome.
func (e *Engine) EventTotals() map[[2]string]uint64 {
	e.totals.mu.Lock()
	defer e.totals.mu.Unlock()
	return maps.Clone(e.totals.byKind)
}

// Counters reads the kernel's counters, and adds what there was no room for here.
func (e *Engine) Counters() (datapath.Counters, error) {
	c, err := e.dp.Counters()
	if err != nil {
		return c, err
	}
	c.Full[state.RawMapFormers] += e.over.Load()
	c.Full["names"] = e.names.nameless.Load()
	return c, nil
}

// detail says in words what was gained.
func detail(ev *state.RawEscalationEvent) string {
	var parts []string
	if ev.Gain&state.GainUID != 0 {
		parts = append(parts, fmt.Sprintf("uid (real, effective, saved) %v to %v", ev.From.Uid, ev.To.Uid))
	}
	if ev.Gain&state.GainGID != 0 {
		parts = append(parts, fmt.Sprintf("gid (real, effective, saved) %v to %v", ev.From.Gid, ev.To.Gid))
	}
	if ev.Gain&state.GainCaps != 0 {
		parts = append(parts, fmt.Sprintf("capabilities %#x gained over %#x", ev.To.Caps&^ev.From.Caps, ev.From.Caps))
	}
	by := "by a system call"
	if ev.AtExec != 0 {
		by = "by exec"
	}
	return strings.Join(parts, ", ") + " " + by
}
