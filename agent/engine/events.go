// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
)

// Process takes a process event of the kernel. The first process of a container
// makes the engine look up the programs that rules name in it.
func (e *Engine) Process(ev state.RawProcessEvent) {
	name := e.view.pod(ev.Pod)
	out := rpc.Event{
		Time: bootTime().Add(time.Duration(ev.Time)), Outcome: "observed",
		Pod:     rpc.PodRef{Namespace: name.key.Namespace, Name: name.key.Name},
		Process: e.names.process(&ev),
	}
	switch ev.Type {
	case state.ProcessExec:
		out.Type = "exec"
	case state.ProcessFork:
		out.Type = "fork"
	case state.ProcessExit:
		out.Type = "exit"
		status := syscall.WaitStatus(ev.ExitCode)
		code := status.ExitStatus()
		if status.Signaled() {
			out.Signal = unix.SignalName(status.Signal())
			code = 128 + int(status.Signal())
		}
		out.ExitCode = &code
	}
	e.report(out)
	if ev.Entry != 0 {
		e.joined(ev.Cgroup, ev.Slot, ev.Pod)
	}
	if ev.Entry != 0 || ev.Type == state.ProcessExec && e.files.waits(ev.Container) {
		e.later()
	}
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
	e.report(rpc.Event{
		Time: bootTime().Add(time.Duration(ev.Time)), Type: "escalation", Class: "Privileges", Outcome: outcome,
		Pod: rpc.PodRef{Namespace: name.key.Namespace, Name: name.key.Name},
		Process: rpc.Process{
			Path: text(ev.Path[:]), PID: ev.Pid, UID: ev.To.Uid[0], ExecID: execID{ev.ExecId, ev.Pid}.String(),
			ParentExecID: execID{ev.ParentExecId, ev.Pid}.String(),
		},
		Rule: e.view.rule(ev.Rule), Detail: detail(&ev), ContainerEnded: ev.Init != 0 && outcome == "killed",
	})
}

// report keeps and counts an event.
func (e *Engine) report(ev rpc.Event) {
	e.totals.mu.Lock()
	e.totals.byKind[[2]string{ev.Type, ev.Outcome}]++
	e.totals.mu.Unlock()
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

// Counters reads the kernel's counters.
func (e *Engine) Counters() (datapath.Counters, error) { return e.dp.Counters() }

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
