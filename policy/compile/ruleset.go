// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/binary"

	"github.com/sluice-io/sluice/policy"
)

// ruleSet is what the policies that select a pod mean for it. Directions come
// first in arrays, then layers.
type ruleSet struct {
	sum      sum
	isolated [2][2]bool
	rules    [2][2][]*rule // in the order in which they are named
	errno    [2]bool
	audit    *ruleSet // the same with Audit policies enforced; nil: they isolate nothing

	action     Action
	actionRule policy.RuleRef // zero for ActionIgnore
}

// newRuleSet combines the policies that select a pod, sorted by ref. It returns
// nil if together they ask for nothing.
func newRuleSet(policies []*lowered) *ruleSet {
	s := &ruleSet{}
	auditIsolates := false
	for _, p := range policies {
		if p.audit {
			auditIsolates = auditIsolates || p.isolates != [2]bool{}
		} else {
			s.restrict(p)
		}
		s.onPrivileges(p)
	}
	if auditIsolates {
		s.audit = &ruleSet{}
		for _, p := range policies {
			s.audit.restrict(p)
		}
		s.audit.sum = s.audit.encode().sum()
	}
	if s.isolated == [2][2]bool{} && s.audit == nil && s.action == ActionIgnore {
		return nil
	}
	s.sum = s.encode().sum()
	return s
}

// restrict adds a policy as enforced.
func (s *ruleSet) restrict(p *lowered) {
	for d := range p.isolates {
		if p.isolates[d] {
			s.isolated[d][p.layer] = true
			s.errno[d] = s.errno[d] || p.errno
			s.rules[d][p.layer] = append(s.rules[d][p.layer], p.rules[d]...)
		}
	}
}

// onPrivileges takes a policy's action on a gain of privilege if it is stronger
// than those of the policies before it.
func (s *ruleSet) onPrivileges(p *lowered) {
	action := ActionIgnore
	if p.kill != nil {
		action = ActionKill
		if p.audit {
			action = ActionAudit
		}
	}
	if action > s.action {
		s.action, s.actionRule = action, *p.kill
	}
}

// encode writes everything that a rule set means, and no id.
func (s *ruleSet) encode() encoding {
	e := encode(kindRuleSet)
	for d := range s.isolated {
		e = e.flag(s.errno[d])
		for l := range s.isolated[d] {
			e = e.flag(s.isolated[d][l]).number(len(s.rules[d][l]))
			for _, r := range s.rules[d][l] {
				e = append(e, r.sum[:]...)
			}
		}
	}
	e = append(e, byte(s.action)).ref(s.actionRule).flag(s.audit != nil)
	if s.audit != nil {
		e = append(e, s.audit.sum[:]...)
	}
	return e
}

// assignment says what the local pods are under.
type assignment struct {
	ruleSets map[policy.PodKey]*ruleSet // nil: nothing asks for anything
	selected map[policy.PodKey][]policy.Ref
}

// assign finds the policies that select each local pod. Pods that the same ones
// select share a rule set. A pod that the cluster does not hold has no labels.
func assign(in Input, policies []*lowered) assignment {
	out := assignment{
		ruleSets: make(map[policy.PodKey]*ruleSet, len(in.Local)),
		selected: make(map[policy.PodKey][]policy.Ref, len(in.Local)),
	}
	byNamespace := make(map[string][]int)
	for i, p := range policies {
		byNamespace[p.ref.Namespace] = append(byNamespace[p.ref.Namespace], i)
	}
	known := make(map[string]*ruleSet) // by the indices of the policies
	for _, key := range in.Local {
		pod := in.Cluster.Pods[key]
		var by []*lowered
		var refs []policy.Ref
		var indices []byte
		for _, i := range byNamespace[key.Namespace] {
			if p := policies[i]; !pod.HostNetwork && matches(p.pods, pod.Labels) {
				by, refs = append(by, p), append(refs, p.ref)
				indices = binary.AppendUvarint(indices, uint64(i))
			}
		}
		s, ok := known[string(indices)]
		if !ok {
			s = newRuleSet(by)
			known[string(indices)] = s
		}
		out.ruleSets[key] = s
		if len(refs) > 0 {
			out.selected[key] = refs
		}
	}
	return out
}

// distinct is the rule sets that pods are under, each once.
func (a assignment) distinct(pods []policy.PodKey) []*ruleSet {
	var out []*ruleSet
	seen := make(map[sum]bool)
	for _, key := range pods {
		if s := a.ruleSets[key]; s != nil && !seen[s.sum] {
			seen[s.sum] = true
			out = append(out, s)
		}
	}
	return out
}
