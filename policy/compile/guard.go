// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"

	"github.com/sluice-io/sluice/policy"
)

// guard is a rule on files in canonical form.
type guard struct {
	rule       policy.RuleRef
	names      []selector // paths and patterns, sorted, each once
	operations policy.Operations
	action     policy.Action
	allow      []allowance // sorted, each once
}

// guards lowers a policy's rules on files.
func guards(p *policy.WorkloadPolicy) (out []*guard) {
	for i, r := range p.Files {
		g := &guard{rule: policy.RuleRef{Policy: p.Ref(), Index: i}, operations: r.Operations, action: r.Action}
		for _, path := range r.Paths {
			g.names = append(g.names, selector{path: path}, selector{path: policy.Resolved(path)})
		}
		g.names = sortedSet(g.names, compareSelectors)
		by := restriction{rule: g.rule}
		for _, process := range r.Allow {
			by.add(0, selector{path: process.Path}, nil)
		}
		g.allow = by.sorted().allow
		out = append(out, g)
	}
	return out
}

// guarded is a rule on files with what a node gives for its action.
type guarded struct {
	*guard
	gives Action
}

// guardList is the rules on files of several policies, in the order in which they are
// named.
type guardList struct {
	rules []guarded
	list  sum
}

// restrictFiles takes the policies' rules on files into a rule set, as restrictActs does.
func (s *ruleSet) restrictFiles(policies []*lowered, g Gives) {
	var enforced, all guardList
	audits := false
	for _, p := range policies {
		for _, rule := range p.files {
			action, _ := g.File(rule.action, p.fallback)
			all.rules = append(all.rules, guarded{rule, action})
			if p.audit {
				audits = true
			} else {
				enforced.rules = append(enforced.rules, guarded{rule, action})
			}
		}
	}
	enforced.list = guardSum(enforced.rules)
	s.files[0] = enforced
	if audits {
		all.list = guardSum(all.rules)
		s.files[1] = all
	}
}

// guardSum is the content of a list of rules on files.
func guardSum(rules []guarded) sum {
	e := encode(kindFiles)
	for _, r := range rules {
		e = append(e.ref(r.rule).number(int(r.operations)), byte(r.gives)).number(len(r.names))
		for _, s := range r.names {
			e = e.string(s.key())
		}
		allowed := permitSum(r.allow)
		e = append(e, allowed[:]...)
	}
	return e.sum()
}

// fileRule is a rule on files with its ids.
type fileRule struct {
	guarded
	id      uint32   // of its name
	ids     []uint32 // of names, each alone
	permits []permit
}

// filesOf is a list of rules on files.
func (b builder) filesOf(content sum, rules []guarded) *list {
	return b.list(content, func(b builder, l *list) {
		for _, g := range rules {
			r := fileRule{guarded: g, id: b.rule(g.rule), permits: b.permits(g.allow)}
			for _, s := range g.names {
				r.ids = append(r.ids, b.program(s))
			}
			l.files[l.id] = append(l.files[l.id], r)
		}
	})
}

func compareSelectors(a, b selector) int { return cmp.Compare(a.key(), b.key()) }
