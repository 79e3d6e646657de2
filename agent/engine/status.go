// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy"
)

// Pods lists the pods attached here, by name.
func (e *Engine) Pods() []rpc.Pod {
	v := e.view.load()
	out := make([]rpc.Pod, 0, len(v.pods))
	joined := e.joined(v.pods)
	for id, p := range v.pods {
		out = append(out, rpc.Pod{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, IPs: p.IPs, Cgroup: cmp.Or(p.Cgroup, joined[id]),
			Labels: v.cluster.Pods[p.key()].Labels, State: stateOf(p), Policies: refs(v.selected[p.key()]),
		})
	}
	slices.SortFunc(out, func(a, b rpc.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// joined finds the cgroups of the pods that had none at ADD, by pod id: that of a
// pod's first container, for each of them joined by itself.
func (e *Engine) joined(pods map[uint32]*pod) map[uint32]string {
	first := make(map[uint32]uint64)
	for id, p := range pods {
		if p.Cgroup == "" {
			first[id] = 0
		}
	}
	if len(first) == 0 {
		return nil
	}
	list, err := e.dp.Containers()
	if err != nil {
		e.log.Error("find cgroups of pods", "error", err)
	}
	for _, c := range list {
		// Ids are given in order of creation.
		if id, late := first[c.Pod]; late && (id == 0 || c.ID < id) {
			first[c.Pod] = c.ID
		}
	}
	paths := make(map[uint32]string, len(first))
	for pod, id := range first {
		if path, err := datapath.CgroupPath(e.cfg.CgroupRoot, id); id != 0 && err == nil {
			paths[pod] = path
		}
	}
	return paths
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

// Status tells how the agent is, what is in force, and which of it has no effect.
func (e *Engine) Status() rpc.Status {
	v := e.view.load()
	s := e.Brief()
	v.effects.annotate(v.cluster, s.Policies)
	return s
}

// Brief is Status without what has no effect.
func (e *Engine) Brief() rpc.Status {
	v := e.view.load()
	s := rpc.Status{
		Version: e.cfg.Version, Node: e.cfg.Node, Tier: e.tier(), Revision: v.revision, Ready: e.Ready(),
		Pods: map[string]int{}, Lost: map[string]uint64{},
	}
	var problem string
	if s.Enforcement, problem = e.enforcement(); problem != "" {
		s.Problems = append(s.Problems, problem)
	}
	for _, p := range v.pods {
		s.Pods[stateOf(p)]++
	}
	for _, p := range v.pods {
		if p.refused != nil {
			s.Problems = append(s.Problems, fmt.Sprintf("pod %s is %s: %v", p.key(), stateOf(p), p.refused))
		}
	}
	s.Policies = slices.DeleteFunc(e.policies(v.cluster), func(p rpc.PolicyStatus) bool {
		return v.unfit[refOf(p)] != nil
	})
	for ref, err := range v.unfit {
		s.Policies = append(s.Policies, rpc.PolicyStatus{
			Kind: string(ref.Kind), Namespace: ref.Namespace, Name: ref.Name, State: "degraded",
			Reason: err.Error() + "; " + instead(v.cluster, ref),
		})
	}
	s.Problems = append(s.Problems, undeferred(v.pods)...)
	s.Problems = append(s.Problems, e.degraded()...)
	c, err := e.Counters()
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
	for _, p := range c.ClusterNetworkPolicies {
		add(p.Ref(), false, ordered(p))
	}
	for _, p := range c.NetworkPolicies {
		add(p.Ref(), false, e.rules(p.Rules, false))
	}
	for _, p := range c.WorkloadPolicies {
		audit := p.Mode == policy.Audit
		rules := e.rules(p.Rules, audit)
		for i, r := range p.Escalation {
			rules = append(rules, rpc.RuleStatus{Section: "escalation", Index: i, Outcome: outcomeOf(r.Action, audit)})
		}
		rules = append(rules, e.acts(p)...)
		add(p.Ref(), audit, rules)
		if why := e.closing(p); why != "" {
			s := &out[len(out)-1]
			s.State, s.Reason = "degraded", joined(s.Reason, []string{why})
		}
	}
	return out
}

// ordered describes the rules of a ClusterNetworkPolicy: only a Deny rule denies.
func ordered(p *policy.ClusterNetworkPolicy) []rpc.RuleStatus {
	var out []rpc.RuleStatus
	for d, rules := range p.Rules {
		for i, r := range rules {
			s := rpc.RuleStatus{Direction: policy.Direction(d).String(), Index: i, Outcome: "observed"}
			if r.Action == policy.Deny || (r.Unknown && r.Action != policy.Accept) {
				s.Outcome = "denied"
			}
			if r.Unknown {
				s.Note = "a peer has no field that is known here: the rule fails closed"
			}
			out = append(out, s)
		}
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
func (e *Engine) rules(by [2][]policy.Rule, audit bool) []rpc.RuleStatus {
	outcome := "denied"
	if audit {
		outcome = "audited"
	}
	var out []rpc.RuleStatus
	for direction, list := range by {
		for i, r := range list {
			var notes []string
			for _, p := range r.Processes {
				if n := e.files.status(p.Path); n != "" {
					notes = append(notes, n)
				}
			}
			out = append(out, rpc.RuleStatus{
				Direction: policy.Direction(direction).String(), Index: i, Outcome: outcome, Note: strings.Join(notes, "; "),
			})
		}
	}
	return out
}
