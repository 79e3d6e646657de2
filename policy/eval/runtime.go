// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Response says what happens on an act.
type Response struct {
	Action policy.Action
	// Audit is true if the action is not taken, only reported: it is what the pod's
	// Audit policies would do if they were enforced, where those that are let the act
	// pass.
	Audit bool
	// Rule asks for the action; zero if that is Ignore. Of several rules it is the
	// first by policy kind, namespace, name and index. Its index counts the policy's
	// rules of the section; exec and capabilities are one rule each, number 0.
	Rule policy.RuleRef
}

// Exec answers a program that starts in a pod. What the container runtime runs before
// the container's entry is not asked.
func Exec(c *policy.Cluster, pod policy.PodKey, act policy.ExecAct) Response {
	return judgeAct(c, pod, func(p *policy.WorkloadPolicy) []restriction {
		if p.Exec == nil {
			return nil
		}
		return []restriction{{
			action: p.Exec.Action,
			allows: p.Exec.ImageOnly && act.Image && act.Root || slices.ContainsFunc(p.Exec.Allow, func(r policy.ExecRule) bool { return allowsExec(r, act) }),
		}}
	})
}

// allowsExec: the path, the sum and a parent must match, each that is named.
func allowsExec(r policy.ExecRule, act policy.ExecAct) bool {
	return anyMatches([]policy.Process{r.Process}, act.Program) &&
		(r.SHA256 == "" || r.SHA256 == act.SHA256) &&
		(len(r.Parents) == 0 || anyMatches(r.Parents, act.Parent))
}

// Capability answers a use of a capability by a process of a pod.
func Capability(c *policy.Cluster, pod policy.PodKey, act policy.CapabilityAct) Response {
	out := judgeAct(c, pod, func(p *policy.WorkloadPolicy) []restriction {
		if p.Capabilities == nil {
			return nil
		}
		return []restriction{{
			action: p.Capabilities.Action,
			allows: slices.ContainsFunc(p.Capabilities.Allow, func(r policy.CapabilityRule) bool {
				return r.Names.Has(act.Capability) && (len(r.Processes) == 0 || anyMatches(r.Processes, act.Program))
			}),
		}}
	})
	if out.Action == policy.Kill && act.Unaudited {
		out.Action = policy.Prevent
	}
	return out
}

// File answers a use of a file by a process of a pod. The rules that name the file and
// the operation restrict it: "who may; nobody else".
func File(c *policy.Cluster, pod policy.PodKey, act policy.FileAct) Response {
	return judgeAct(c, pod, func(p *policy.WorkloadPolicy) []restriction {
		var out []restriction
		for i, r := range p.Files {
			if r.Operations&act.Operation != 0 &&
				slices.ContainsFunc(r.Paths, func(path string) bool { return coversFile(path, act.File) }) {
				out = append(out, restriction{rule: policy.RuleRef{Index: i}, action: r.Action, allows: anyMatches(r.Allow, act.Program)})
			}
		}
		return out
	})
}

// coversFile: "path is the path inside the container's root with symlinks resolved there",
// those that are in nearly every image wherever the pod runs.
func coversFile(pattern, file string) bool {
	return matchesPath(pattern, file) || matchesPath(policy.Resolved(pattern), file)
}

// restriction is what a rule that an act is asked of says to it.
type restriction struct {
	rule   policy.RuleRef
	action policy.Action
	allows bool
}

// judgeAct asks the policies that select a pod for what restricts an act. "An Audit
// policy isolates nothing and allows nothing: what it selects is judged a second time
// as if it were enforced, and a difference is reported."
func judgeAct(c *policy.Cluster, key policy.PodKey, restrict func(*policy.WorkloadPolicy) []restriction) Response {
	pod := podOf(c, key)
	var enforced, all []restriction
	for _, p := range c.WorkloadPolicies {
		if !workloadSubject(c, pod, p) {
			continue
		}
		for _, r := range restrict(p) {
			r.rule.Policy = p.Ref()
			if all = append(all, r); p.Mode == policy.Enforce {
				enforced = append(enforced, r)
			}
		}
	}
	if out := strongest(enforced); out.Action != policy.Ignore {
		return out
	}
	out := strongest(all)
	out.Audit = out.Action != policy.Ignore
	return out
}

// strongest: "Allow lists of several policies add up; for an act that no policy allows,
// the strongest action of the policies that restrict it wins: Kill > Deny > Audit."
func strongest(restrictions []restriction) Response {
	if slices.ContainsFunc(restrictions, func(r restriction) bool { return r.allows }) {
		return Response{Action: policy.Ignore}
	}
	for _, action := range []policy.Action{policy.Kill, policy.Prevent, policy.Report} {
		var rules []policy.RuleRef
		for _, r := range restrictions {
			if r.action == action {
				rules = append(rules, r.rule)
			}
		}
		if len(rules) > 0 {
			return Response{Action: action, Rule: slices.MinFunc(rules, compareRules)}
		}
	}
	return Response{Action: policy.Ignore}
}
