// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy"
)

// Pods lists the pods attached here, by name.
func (e *Engine) Pods() []rpc.Pod {
	v := e.view.load()
	out := make([]rpc.Pod, 0, len(v.pods))
	for _, p := range v.pods {
		out = append(out, rpc.Pod{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, IPs: p.IPs, Cgroup: p.Cgroup,
			Labels: v.cluster.Pods[p.key()].Labels, State: stateOf(p), Policies: refs(v.selected[p.key()]),
		})
	}
	slices.SortFunc(out, func(a, b rpc.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func stateOf(p *pod) string {
	if p.realised {
		return "enforced"
	}
	return unrealised(p)
}

func refs(list []policy.Ref) []string {
	out := make([]string, 0, len(list))
	for _, r := range list {
		out = append(out, r.String())
	}
	return out
}

// Ready is true once every pod has its rules.
func (e *Engine) Ready() bool {
	e.view.mu.RLock()
	defer e.view.mu.RUnlock()
	return e.view.now.cluster != nil && e.view.failure == nil
}

// degraded lists why policies are not in force.
func (e *Engine) degraded() []string {
	e.view.mu.RLock()
	defer e.view.mu.RUnlock()
	if e.view.failure != nil {
		return []string{e.view.failure.Error()}
	}
	return nil
}

// Status tells how the agent is and what is in force.
func (e *Engine) Status() rpc.Status {
	v := e.view.load()
	s := rpc.Status{
		Version: e.cfg.Version, Node: e.cfg.Node, Tier: "no-LSM", Revision: v.revision, Ready: e.Ready(),
		Enforcement: "on", Pods: map[string]int{}, Lost: map[string]uint64{},
	}
	for _, p := range v.pods {
		s.Pods[stateOf(p)]++
	}
	for _, p := range v.pods {
		if p.refused != nil {
			s.Problems = append(s.Problems, fmt.Sprintf("pod %s is %s: %v", p.key(), stateOf(p), p.refused))
		}
	}
	s.Policies = e.policies(v.cluster)
	for ref, err := range v.unfit {
		s.Policies = append(s.Policies, rpc.PolicyStatus{
			Kind: string(ref.Kind), Namespace: ref.Namespace, Name: ref.Name, State: "degraded",
			Reason: err.Error() + "; the pods it selects are closed",
		})
	}
	s.Problems = append(s.Problems, e.degraded()...)
	c, err := e.dp.Counters()
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	for ring, n := range c.Lost {
		s.Lost[ring] = n
	}
	s.Lost["followers"] = e.journal.Flows.Lost() + e.journal.Events.Lost()
	for _, f := range e.dp.Fill() {
		s.Maps = append(s.Maps, rpc.MapStatus{Name: f.Name, Entries: f.Entries, Max: f.Max, Full: c.Full[f.Name]})
	}
	return s
}

// policies tells of each policy whether it is in force, and of each rule what this
// node gives for it.
func (e *Engine) policies(c *policy.Cluster) []rpc.PolicyStatus {
	if c == nil {
		return nil
	}
	failed := e.degraded()
	var out []rpc.PolicyStatus
	add := func(ref policy.Ref, audit bool, rules []rpc.RuleStatus) {
		s := rpc.PolicyStatus{Kind: string(ref.Kind), Namespace: ref.Namespace, Name: ref.Name, State: "enforced", Rules: rules}
		if audit {
			s.State = "audited"
		}
		if len(failed) > 0 {
			s.State, s.Reason = "degraded", failed[0]
		}
		out = append(out, s)
	}
	for _, p := range c.NetworkPolicies {
		add(p.Ref(), false, slices.Concat(e.rules(p.Rules[policy.Ingress], false), e.rules(p.Rules[policy.Egress], false)))
	}
	for _, p := range c.WorkloadPolicies {
		audit := p.Mode == policy.Audit
		rules := slices.Concat(e.rules(p.Rules[policy.Ingress], audit), e.rules(p.Rules[policy.Egress], audit))
		for i, r := range p.Escalation {
			rules = append(rules, rpc.RuleStatus{Index: i, Outcome: outcomeOf(r.Action, audit)})
		}
		add(p.Ref(), audit, rules)
	}
	return out
}

func outcomeOf(a policy.Action, audit bool) string {
	switch {
	case a == policy.Ignore:
		return "observed"
	case audit:
		return "audited"
	}
	return "killed"
}

// rules describes allow rules: what none of them allows is denied.
func (e *Engine) rules(list []policy.Rule, audit bool) []rpc.RuleStatus {
	var out []rpc.RuleStatus
	for i, r := range list {
		s := rpc.RuleStatus{Index: i, Outcome: "denied"}
		if audit {
			s.Outcome = "audited"
		}
		for _, p := range r.Processes {
			if n := e.files.status(p.Path); n != "" {
				s.Note += n + " "
			}
		}
		out = append(out, s)
	}
	return out
}
