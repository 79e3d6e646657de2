// SPDX-License-Identifier: Apache-2.0

package compile

import "slices"

// permit is an entry of a list of permits.
type permit struct {
	allowance
	ids  [2]uint32 // of program and parent alone, 0: any
	rule uint32
}

// permitsOf is a list of permits.
func (b builder) permitsOf(content sum, allow []allowance) *list {
	return b.list(content, func(b builder, l *list) { l.permits[l.id] = b.permits(allow) })
}

// list is one of permits or of rules on files, as it was made last, or filled now: it
// depends on nothing but itself.
func (b builder) list(content sum, fill func(builder, *list)) *list {
	if l, ok := b.lists[content]; ok {
		return l
	}
	l := b.last[content]
	if l != nil {
		l.keep(b.ids)
	} else {
		l = &list{tables: newTables()}
		b.out = &l.tables
		l.id = b.id(content)
		fill(b, l)
	}
	b.lists[content] = l
	return l
}

// permits gives the entries of a list their ids.
func (b builder) permits(allow []allowance) (out []permit) {
	for _, a := range allow {
		out = append(out, permit{a, [2]uint32{b.program(a.program), b.program(a.parent)}, b.rule(a.rule)})
	}
	return out
}

// program is the id of what a selector names alone.
func (b builder) program(s selector) uint32 {
	if s == (selector{}) {
		return 0
	}
	if s == ofImage {
		return ProgramOfImage
	}
	return b.id(programSum([]string{s.key()}))
}

// runtimeHead is the head of a list of permits; nil: there is none.
func (b builder) runtimeHead(r restricted, permits *list) RuntimeHead {
	if r.action == ActionIgnore {
		return RuntimeHead{}
	}
	out := RuntimeHead{Rule: b.rule(r.rule), Action: r.action}
	if permits != nil {
		out.List = permits.id
		out.Parents = slices.ContainsFunc(r.allow, func(a allowance) bool { return a.parent != selector{} })
	}
	return out
}

// permits adds a list of permits for every program that stands for one of its
// selectors. Of several rules that allow an act the first is named.
func (im *Image) permits(id uint32, list []permit, p *programs) {
	for _, x := range list {
		for _, program := range p.standFor(x.program) {
			for _, parent := range p.standFor(x.parent) {
				key := Permit{id, x.what, program, parent}
				if _, ok := im.Permits[key]; !ok {
					im.Permits[key] = x.rule
				}
			}
		}
	}
}
