// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// Act takes an act that a rule does not allow, and what the kernel did about it.
func (e *Engine) Act(ev state.RawActEvent) {
	name := e.view.pod(ev.Pod)
	id := execID{ev.ExecId, ev.Pid}
	out := rpc.Event{
		Time: e.wall.at(ev.Time), Type: state.Act(ev.Kind), Outcome: state.Outcome(ev.Outcome),
		Pod: rpc.PodRef{Namespace: name.key.Namespace, Name: name.key.Name},
		Process: rpc.Process{
			Path: text(ev.Path[:]), PID: ev.Pid, UID: ev.Uid, ExecID: id.String(),
		},
		Rule: e.view.rule(ev.Rule),
	}
	out.ContainerEnded = ev.Flags&state.ActInit != 0 && ev.Outcome == state.ActionKill
	switch ev.Kind {
	case state.ActCapability:
		out.Detail = useDetail(&ev)
	case state.ActFile:
		out.Detail = fileDetail(&ev)
	default:
		out.Detail = "exec of " + text(ev.Object[:])
	}
	// A denied exec has made no process image; what is told is the one before.
	made := ev.Kind == state.ActExec && ev.Outcome != state.ActionDeny
	out.Process.ParentExecID = e.parentOf(id, ev.ParentExecId, made)
	e.names.complete(&out.Process, id)
	out.Lineage = e.names.lineage(id)
	e.report(out)
}

// ActTotals are the kernel's counts of acts that rules do not allow.
func (e *Engine) ActTotals() (map[rpc.ActKey]rpc.ActTotal, error) {
	tallies, err := e.dp.Tallies()
	if err != nil {
		return nil, err
	}
	out := make(map[rpc.ActKey]rpc.ActTotal)
	for _, t := range tallies {
		pod := e.view.pod(t.Pod)
		key := rpc.ActKey{Pod: rpc.PodRef{Namespace: pod.key.Namespace, Name: pod.key.Name}, Type: t.Type, Outcome: t.Outcome}
		if r := e.view.rule(t.Rule); r != nil {
			key.Rule = fmt.Sprintf("%s/%s/%s[%d]", r.Kind, cmp.Or(r.Namespace, "-"), r.Name, r.Index)
		}
		total := out[key] // a pod of the same name may have gone
		out[key] = rpc.ActTotal{Acts: total.Acts + t.Acts, Held: total.Held + t.Held}
	}
	return out, nil
}

// useDetail says in words which capability was used, and how the kernel asked.
func useDetail(ev *state.RawActEvent) string {
	detail := policy.Capability(ev.What).String()
	if ev.Flags&state.ActAuditable == 0 {
		detail += ", asked without audit"
	}
	if ev.Flags&state.ActOtherNS != 0 {
		detail += ", in a user namespace of its own"
	}
	return detail
}

// tier is what the node's kernel gives.
func (e *Engine) tier() string {
	if e.dp.NoLSM() == nil {
		return "full"
	}
	return "no-LSM"
}

// acts describes the sections of a policy that restrict acts; each is one rule.
func (e *Engine) acts(p *policy.WorkloadPolicy) []rpc.RuleStatus {
	var out []rpc.RuleStatus
	gives := e.dp.Gives()
	if x := p.Exec; x != nil {
		var notes []string
		for _, rule := range x.Allow {
			notes = append(notes, e.files.status(rule.Path))
			notes = append(notes, e.statuses(rule.Parents)...)
		}
		got, closes := gives.Exec(x.Action, p.Fallback)
		out = append(out, e.section("exec", p, x.Action, got, closes, notes))
	}
	if c := p.Capabilities; c != nil {
		var notes []string
		for _, rule := range c.Allow {
			notes = append(notes, e.statuses(rule.Processes)...)
		}
		got, closes := gives.Capability(c.Action, p.Fallback)
		out = append(out, e.section("capabilities", p, c.Action, got, closes, notes))
	}
	for i, r := range p.Files {
		out = append(out, e.fileRule(p, i, r))
	}
	return out
}

func (e *Engine) statuses(list []policy.Process) (notes []string) {
	for _, p := range list {
		notes = append(notes, e.files.status(p.Path))
	}
	return notes
}

// outcomes are what an action in force comes to.
var outcomes = map[compile.Action]string{
	compile.ActionAudit: "audited", compile.ActionObserve: "observed", compile.ActionDeny: "denied", compile.ActionKill: "killed",
}

// section describes a section whose action is given as got.
func (e *Engine) section(name string, p *policy.WorkloadPolicy, asked policy.Action, got compile.Action, closes bool, notes []string) rpc.RuleStatus {
	slices.Sort(notes)
	notes = slices.DeleteFunc(slices.Compact(notes), func(n string) bool { return n == "" })
	out := rpc.RuleStatus{Section: name, Outcome: outcomes[got], Note: strings.Join(notes, "; ")}
	why := e.dp.NoLSM()
	switch {
	case name == "capabilities" && why != nil && e.dp.NoCapabilities() != nil:
		why = e.dp.NoCapabilities()
	case name == "files" && why == nil:
		why = e.dp.NoFiles()
	}
	switch {
	case p.Mode == policy.Audit:
		out.Outcome = "audited"
	case closes:
		out.Reason = fmt.Sprintf("this node cannot give %s: the pods are closed: %v", asked, why)
	case asked == policy.Prevent && got != compile.ActionDeny || asked == policy.Kill && got != compile.ActionKill:
		out.Reason = fmt.Sprintf("this node cannot give %s: %v", asked, why)
	}
	return out
}

// closing says that a policy closes the pods it selects, for this node does not give
// what it asks for.
func (e *Engine) closing(p *policy.WorkloadPolicy) string {
	if p.Mode == policy.Audit {
		return ""
	}
	gives := e.dp.Gives()
	closes := false
	if p.Exec != nil {
		_, c := gives.Exec(p.Exec.Action, p.Fallback)
		closes = closes || c
	}
	if p.Capabilities != nil {
		_, c := gives.Capability(p.Capabilities.Action, p.Fallback)
		closes = closes || c
	}
	for _, r := range p.Files {
		_, c := gives.File(r.Action, p.Fallback)
		closes = closes || c
	}
	if !closes {
		return ""
	}
	return "this node does not give what it asks for; the pods it selects are closed"
}
