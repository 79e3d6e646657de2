// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// FileUnknown is the file of the entries that answer for a file that cannot be described.
const FileUnknown uint32 = math.MaxUint32

// use is an id of a file, or of what lies in folders, and all that names it.
type use struct {
	id uint32
	by []selector
}

// used adds an id to what the rules on one of its selectors are about: paths and folders,
// and for patterns of any depth the wider ones too.
func (p *programs) used(u use, selectors []selector) {
	for _, s := range selectors {
		folder, deep := s.pattern()
		if !deep {
			p.uses[s] = append(p.uses[s], u)
			continue
		}
		for at := range foldersAround(folder) {
			around := selector{path: at + "**"}
			p.uses[around] = append(p.uses[around], u)
		}
	}
}

// fileRules adds the entries of a list of rules on files.
func (im *Image) fileRules(ids *IDs, list uint32, rules []fileRule, p *programs) {
	t := guardTable{im, ids, list, rules, make(map[selector][]int), make(map[string]RuntimeHead), p}
	var all []int
	for i, r := range rules {
		all = append(all, i)
		for _, s := range r.names {
			t.by[s] = append(t.by[s], i)
		}
	}
	for operation := range operations {
		if head := t.head(all, operation); head.Action != ActionIgnore {
			head.List = 0
			im.FileRules[FileKey{list, FileUnknown, operation}] = head
		}
	}
	seen := make(map[uint32]bool)
	for _, r := range rules {
		for _, s := range r.names {
			for _, u := range p.uses[s] {
				if !seen[u.id] {
					seen[u.id] = true
					t.add(u)
				}
			}
		}
	}
}

// operations are numbered from 0 in the kernel's tables.
const operations uint32 = 16

// guardTable makes the entries of one list of rules on files.
type guardTable struct {
	im    *Image
	ids   *IDs
	list  uint32
	rules []fileRule
	by    map[selector][]int     // the rules that have a path or pattern; ascending
	heads map[string]RuntimeHead // by the rules that are asked
	p     *programs
}

// add adds the entries of an id.
func (t *guardTable) add(u use) {
	var covering []int
	for _, s := range u.by {
		covering = append(covering, t.covering(s)...)
	}
	covering = sortedSet(covering, cmp.Compare)
	for operation := range operations {
		if head := t.head(covering, operation); head.Action != ActionIgnore {
			t.im.FileRules[FileKey{t.list, u.id, operation}] = head
		}
	}
}

// covering is the rules that cover all that a selector names.
func (t *guardTable) covering(s selector) []int {
	out := slices.Clone(t.by[s])
	folder, deep := s.pattern()
	if folder == "" {
		folder = s.path[:strings.LastIndexByte(s.path, '/')+1]
		out = append(out, t.by[selector{path: folder + "*"}]...)
	}
	for at := range foldersAround(folder) {
		if around := (selector{path: at + "**"}); !deep || around != s {
			out = append(out, t.by[around]...)
		}
	}
	return out
}

// head is what those of some rules say that ask about an operation.
func (t *guardTable) head(some []int, operation uint32) RuntimeHead {
	some = slices.DeleteFunc(slices.Clone(some), func(i int) bool { return t.rules[i].operations>>operation&1 == 0 })
	key := spell(some)
	head, ok := t.heads[key]
	if ok {
		return head
	}
	var allow []allowance
	var permits []permit
	for _, i := range some {
		r := t.rules[i]
		if r.gives > head.Action {
			head.Action, head.Rule = r.gives, r.id
		}
		allow, permits = append(allow, r.allow...), append(permits, r.permits...)
	}
	if len(allow) > 0 {
		head.List = t.ids.of(permitSum(allow)).id
		t.im.permits(head.List, permits, t.p)
	}
	t.heads[key] = head
	return head
}
