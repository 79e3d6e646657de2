// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// runtime looks at the sections for what programs do.
func (l *linter) runtime(p *linted) {
	w := p.workload
	if w.Exec != nil {
		l.exec(p, w.Exec)
	}
	if w.Capabilities != nil {
		l.capabilities(p, w.Capabilities)
	}
	for i, r := range w.Files {
		l.file(p, fmt.Sprintf("spec.files.rules[%d]", i), r)
	}
	redundant(w.Files, coversFileRule, func(j, i int) {
		l.add(p, fmt.Sprintf("spec.files.rules[%d]", j), Warning, "redundant: rule %d of this policy covers its files and operations, lets the same programs and does no less to others; remove it", i)
	})
	if w.Fallback != policy.Observe && w.Fallback != "" && !asksDeny(w) {
		l.add(p, "spec.fallback", Warning, "has no effect: it says what Deny becomes, and no rule has that action; remove it")
	}
}

func asksDeny(w *policy.WorkloadPolicy) bool {
	return w.Exec != nil && w.Exec.Action == policy.Prevent ||
		w.Capabilities != nil && w.Capabilities.Action == policy.Prevent ||
		slices.ContainsFunc(w.Files, func(r policy.FileRule) bool { return r.Action == policy.Prevent })
}

func (l *linter) exec(p *linted, exec *policy.Exec) {
	if stops(p, exec.Action) && !l.anyOther(p, func(w *policy.WorkloadPolicy) bool {
		return w.Exec != nil && (w.Exec.ImageOnly ||
			slices.ContainsFunc(w.Exec.Allow, func(r policy.ExecRule) bool { return len(r.Parents) == 0 }))
	}) {
		l.add(p, "spec.exec", Warning, "no container of the pod can start: what the container runtime starts has no parent, and no entry without parents allows it; add its program")
	}
	redundant(exec.Allow, coversExec, func(j, i int) {
		l.add(p, fmt.Sprintf("spec.exec.allow[%d]", j), Warning, "redundant: entry %d of this list allows all that it allows; remove it", i)
	})
	for i, r := range exec.Allow {
		l.programs(p, fmt.Sprintf("spec.exec.allow[%d].parents", i), r.Parents)
	}
}

func (l *linter) capabilities(p *linted, capabilities *policy.Capabilities) {
	redundant(capabilities.Allow, coversCapabilities, func(j, i int) {
		l.add(p, fmt.Sprintf("spec.capabilities.allow[%d]", j), Warning, "redundant: entry %d of this list allows all that it allows; remove it", i)
	})
	for i, r := range capabilities.Allow {
		l.programs(p, fmt.Sprintf("spec.capabilities.allow[%d].processes", i), r.Processes)
	}
}

func (l *linter) file(p *linted, field string, r policy.FileRule) {
	if stops(p, r.Action) && r.Operations&policy.OpRead != 0 && slices.Contains(r.Paths, "/**") &&
		!l.anyOther(p, func(w *policy.WorkloadPolicy) bool {
			return slices.ContainsFunc(w.Files, func(r policy.FileRule) bool { return r.Operations&policy.OpRead != 0 && len(r.Allow) > 0 })
		}) {
		l.add(p, field, Warning, "leaves Read of every file to nobody: name the programs that may in allow, or fewer files")
	}
	redundant(r.Paths, coversPath, func(j, i int) {
		l.add(p, fmt.Sprintf("%s.paths[%d]", field, j), Warning, "redundant: %s covers %s; remove it", r.Paths[i], r.Paths[j])
	})
	l.programs(p, field+".allow", r.Allow)
}

// programs looks at a list of programs that a section names besides those that exec
// allows.
func (l *linter) programs(p *linted, field string, programs []policy.Process) {
	redundant(programs, coversProcess, func(j, i int) {
		l.add(p, fmt.Sprintf("%s[%d]", field, j), Warning, "redundant: %s covers %s; remove it", programs[i].Path, programs[j].Path)
	})
	for j, program := range programs {
		if !l.mayRun(p, program) {
			l.add(p, fmt.Sprintf("%s[%d]", field, j), Warning, neverRuns, program.Path)
		}
	}
}

const neverRuns = "%s matches nothing: no entry of spec.exec lets it run; add it there, or remove it here"

// mayRun says whether a program that a policy names may run in some of its pods. It may
// where exec stops nothing for certain, and where an entry allows some of it. Where exec
// allows nothing at all, that is said of exec.
func (l *linter) mayRun(p *linted, program policy.Process) bool {
	stopped, entries := false, 0
	for i := range l.policies {
		q := &l.policies[i]
		if q.workload == nil || q.workload.Exec == nil {
			continue
		}
		stopped = stopped || stops(q, q.workload.Exec.Action) && coversSubject(q, p)
		if q.workload.Exec.ImageOnly {
			return true
		}
		entries += len(q.workload.Exec.Allow)
		for _, r := range q.workload.Exec.Allow {
			if coversProcess(r.Process, program) || coversProcess(program, r.Process) {
				return true
			}
		}
	}
	return !stopped || entries == 0
}

// stops says whether an action of a policy is more than a report.
func stops(p *linted, action policy.Action) bool {
	return p.workload.Mode == policy.Enforce && action != policy.Report
}

// anyOther says whether a policy in force for all pods of p, which may be p, is such a one.
func (l *linter) anyOther(p *linted, is func(*policy.WorkloadPolicy) bool) bool {
	return slices.ContainsFunc(l.policies, func(q linted) bool {
		return q.workload != nil && q.workload.Mode == policy.Enforce && coversSubject(&q, p) && is(q.workload)
	})
}
