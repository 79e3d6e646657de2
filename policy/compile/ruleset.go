// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// ruleSet is what the policies that select a pod mean for it. Directions come
// first in arrays, then layers.
type ruleSet struct {
	sum     sum
	active  [2][Layers]bool
	rules   [2][Layers][]*rule // in the order in which they are named
	lists   [2][Layers]sum     // of rules
	errno   [2]bool
	audit   *ruleSet // the same with Audit policies enforced; nil: they isolate nothing
	entries []*entry // of all rules, those of the audit twin included, each once

	// sources are a part, so that a change of them has connections judged anew.
	sources []netip.Prefix

	action     Action
	actionRule policy.RuleRef // zero for ActionIgnore

	acts  [sections][2]restricted // as enforced, and as judged a second time
	files [2]guardList            // likewise

	head *head // made last
}

// newRuleSet combines the policies that select a pod, sorted by ref, on a node that
// gives so much. It returns nil if together they ask for nothing.
func newRuleSet(policies []*lowered, ports []policy.ContainerPort, gives Gives) *ruleSet {
	s, twin := &ruleSet{}, &ruleSet{}
	// Priorities come before names; policies of unordered layers have none.
	policies = slices.Clone(policies)
	slices.SortStableFunc(policies, func(a, b *lowered) int { return cmp.Compare(a.priority, b.priority) })
	auditIsolates := false
	for _, p := range policies {
		twin.restrict(p, ports)
		if p.audit {
			auditIsolates = auditIsolates || p.active != [2]bool{}
		} else {
			s.restrict(p, ports)
		}
		s.onPrivileges(p)
		s.sources = append(s.sources, p.sources...)
	}
	s.sources = sortedSet(s.sources, netip.Prefix.Compare)
	s.restrictActs(policies, gives)
	s.restrictFiles(policies, gives)
	if auditIsolates {
		twin.finish()
		s.audit = twin
	}
	if s.active == [2][Layers]bool{} && s.audit == nil && s.action == ActionIgnore && len(s.sources) == 0 && !s.restrictsActs() {
		return nil
	}
	s.finish()
	return s
}

// restrict adds a policy as enforced, for a pod with some ports.
func (s *ruleSet) restrict(p *lowered, ports []policy.ContainerPort) {
	for d := range p.active {
		if !p.active[d] {
			continue
		}
		s.active[d][p.layer] = true
		s.errno[d] = s.errno[d] || p.errno
		for _, r := range p.rules[d] {
			if len(r.named) > 0 {
				if r = r.on(ports); r == nil {
					continue
				}
			}
			s.rules[d][p.layer] = append(s.rules[d][p.layer], r)
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

// finish gives a rule set what follows from the rest.
func (s *ruleSet) finish() {
	for d := range s.rules {
		for l, rules := range s.rules[d] {
			s.lists[d][l] = listSum(rules)
		}
	}
	s.sum = s.encode().sum()
	if s.audit != nil {
		s.entries = append(s.entries, s.audit.entries...)
	}
	for _, layers := range s.rules {
		for _, rules := range layers {
			for _, r := range rules {
				s.entries = append(s.entries, r.peers...)
			}
		}
	}
	for _, e := range s.entries {
		if e.base != nil {
			s.entries = append(s.entries, e.base)
		}
	}
	s.entries = union(s.entries, nil)
}

// encode writes everything that a rule set means, and no id.
func (s *ruleSet) encode() encoding {
	e := encode(kindRuleSet)
	for d := range s.active {
		e = e.flag(s.errno[d])
		for l := range s.active[d] {
			e = append(e.flag(s.active[d][l]), s.lists[d][l][:]...)
		}
	}
	e = e.number(len(s.sources))
	for _, p := range s.sources {
		e = e.prefix(p)
	}
	e = append(e, byte(s.action)).ref(s.actionRule)
	for _, judgements := range s.acts {
		for _, r := range judgements {
			e = append(append(e, byte(r.action)).ref(r.rule), r.list[:]...)
		}
	}
	for _, l := range s.files {
		e = append(e, l.list[:]...)
	}
	e = e.flag(s.audit != nil)
	if s.audit != nil {
		e = append(e, s.audit.sum[:]...)
	}
	return e
}

// listSum is the content of a list of rules. Its direction and layer are none of it:
// they change nothing in what the rules say of a class.
func listSum(rules []*rule) sum {
	e := encode(kindList)
	for _, r := range rules {
		e = append(e, r.sum[:]...)
	}
	return e.sum()
}
