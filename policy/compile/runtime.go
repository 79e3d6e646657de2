// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// Gives is what a node can do about acts that are not allowed, besides telling.
type Gives struct {
	DenyExec, KillExec             bool
	DenyCapability, KillCapability bool
	DenyFile, KillFile             bool
}

// Exec is what becomes of a policy's action on execs. closes says that the pods which
// the policy selects are closed instead.
func (g Gives) Exec(a policy.Action, f policy.Fallback) (_ Action, closes bool) {
	return given(a, f, g.DenyExec, g.KillExec)
}

// Capability is Exec for uses of capabilities.
func (g Gives) Capability(a policy.Action, f policy.Fallback) (_ Action, closes bool) {
	return given(a, f, g.DenyCapability, g.KillCapability)
}

// File is Exec for uses of files.
func (g Gives) File(a policy.Action, f policy.Fallback) (_ Action, closes bool) {
	return given(a, f, g.DenyFile, g.KillFile)
}

func given(a policy.Action, f policy.Fallback, deny, kill bool) (_ Action, closes bool) {
	switch {
	case a == policy.Report:
		return ActionAudit, false
	case a == policy.Prevent && deny:
		return ActionDeny, false
	case kill && (a == policy.Kill || f == policy.FallbackKill):
		return ActionKill, false
	}
	return ActionObserve, f == policy.Close
}

// section is a part of a policy that restricts one kind of acts.
type section uint8

const (
	execs section = iota
	capabilities
	sections
)

// on is what becomes of an action in a section.
func (g Gives) on(s section, a policy.Action, f policy.Fallback) (_ Action, closes bool) {
	if s == execs {
		return g.Exec(a, f)
	}
	return g.Capability(a, f)
}

// restriction is a section of a policy in canonical form.
type restriction struct {
	rule   policy.RuleRef
	action policy.Action
	allow  []allowance // sorted, each once
}

// allowance allows an act, in words.
type allowance struct {
	rule            policy.RuleRef
	what            uint32
	program, parent selector // zero: any
}

// selector names programs: the one at a path, one there with a sum, those that a
// pattern matches, or those of the image.
type selector struct{ path, sum string }

// ofImage is no path: those begin with a slash.
var ofImage = selector{path: "image"}

// key is the selector as one string; paths have no NUL.
func (s selector) key() string {
	if s.sum == "" {
		return s.path
	}
	return s.path + "\x00" + s.sum
}

// pattern is the folder, with its final slash, that a pattern names, and whether it
// matches at any depth; "" for a path.
func (s selector) pattern() (folder string, deep bool) {
	if folder, deep = strings.CutSuffix(s.path, "**"); !deep {
		folder, _ = strings.CutSuffix(s.path, "*")
	}
	if folder == s.path || !strings.HasSuffix(folder, "/") {
		return "", false
	}
	return folder, deep
}

// restrictions lowers the sections of a policy; nil: it does not restrict these acts.
func restrictions(p *policy.WorkloadPolicy) (out [sections]*restriction) {
	if e := p.Exec; e != nil {
		r := &restriction{rule: policy.RuleRef{Policy: p.Ref()}, action: e.Action}
		if e.ImageOnly {
			r.add(0, ofImage, nil)
		}
		for _, x := range e.Allow {
			r.add(0, selector{x.Path, x.SHA256}, x.Parents)
		}
		out[execs] = r.sorted()
	}
	if c := p.Capabilities; c != nil {
		r := &restriction{rule: policy.RuleRef{Policy: p.Ref()}, action: c.Action}
		for _, x := range c.Allow {
			for n := range policy.Capability(64) {
				if !x.Names.Has(n) {
					continue
				}
				if len(x.Processes) == 0 {
					r.add(1+uint32(n), selector{}, nil)
				}
				for _, process := range x.Processes {
					r.add(1+uint32(n), selector{path: process.Path}, nil)
				}
			}
		}
		out[capabilities] = r.sorted()
	}
	return out
}

// add allows an act to programs that one of parents runs, any if there are none.
func (r *restriction) add(what uint32, program selector, parents []policy.Process) {
	if len(parents) == 0 {
		parents = []policy.Process{{}}
	}
	for _, parent := range parents {
		r.allow = append(r.allow, allowance{r.rule, what, program, selector{path: parent.Path}})
	}
}

func (r *restriction) sorted() *restriction {
	r.allow = sortedSet(r.allow, func(a, b allowance) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.program.key(), b.program.key()),
			cmp.Compare(a.parent.key(), b.parent.key()))
	})
	return r
}

// restricted is what several policies mean for one kind of acts.
type restricted struct {
	action Action
	rule   policy.RuleRef // of the first of the strongest
	allow  []allowance    // in the order in which rules are named
	list   sum            // of allow
}

func (r *restricted) add(by *restriction, action Action) {
	if action > r.action {
		r.action, r.rule = action, by.rule
	}
	r.allow = append(r.allow, by.allow...)
}

// restrictActs takes a policy's restrictions into a rule set. Those of Audit policies
// count in the second judgement alone, which there is only for their sake.
func (s *ruleSet) restrictActs(policies []*lowered, g Gives) {
	for kind := range sections {
		var enforced, all restricted
		audits := false
		for _, p := range policies {
			by := p.restrictions[kind]
			if by == nil {
				continue
			}
			action, _ := g.on(kind, by.action, p.fallback)
			if all.add(by, action); p.audit {
				audits = true
			} else {
				enforced.add(by, action)
			}
		}
		enforced.list = permitSum(enforced.allow)
		s.acts[kind][0] = enforced
		if audits {
			all.list = permitSum(all.allow)
			s.acts[kind][1] = all
		}
	}
}

// restrictsActs says whether any act is restricted.
func (s *ruleSet) restrictsActs() bool {
	return len(s.files[0].rules) > 0 || len(s.files[1].rules) > 0 || slices.ContainsFunc(s.acts[:], func(r [2]restricted) bool {
		return r[0].action != ActionIgnore || r[1].action != ActionIgnore
	})
}

// closing is the policies that close the pods they select, on a node that gives
// no more.
func closing(policies []*lowered, g Gives) (out []policy.Ref) {
	for _, p := range policies {
		if !p.audit && p.closes(g) {
			out = append(out, p.ref)
		}
	}
	return out
}

func (p *lowered) closes(g Gives) bool {
	for kind, by := range p.restrictions {
		if by == nil {
			continue
		}
		if _, closes := g.on(section(kind), by.action, p.fallback); closes {
			return true
		}
	}
	return slices.ContainsFunc(p.files, func(r *guard) bool {
		_, closes := g.File(r.action, p.fallback)
		return closes
	})
}

// permitSum is the content of a list of permits.
func permitSum(list []allowance) sum {
	e := encode(kindPermits)
	for _, a := range list {
		e = e.ref(a.rule).number(int(a.what)).string(a.program.key()).string(a.parent.key())
	}
	return e.sum()
}
