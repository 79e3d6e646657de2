// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// tables are what the ids in a head or a list stand for.
type tables struct {
	ports     map[uint32]portSet
	processes map[uint32][]pathGrant
	permits   map[uint32][]permit
	files     map[uint32][]fileRule
	rules     map[policy.RuleRef]uint32
	used      []*usedID
}

func newTables() tables {
	return tables{
		ports: make(map[uint32]portSet), processes: make(map[uint32][]pathGrant),
		permits: make(map[uint32][]permit), files: make(map[uint32][]fileRule), rules: make(map[policy.RuleRef]uint32),
	}
}

// list is what a list of rules is in an Image. It holds for as long as the classes
// of its entries do not change.
type list struct {
	tables
	image uint64 // in which it was made
	id    uint32
	any   PortSet // of the rules without peers
	edges []edge
}

type edge struct {
	Edge
	PortSet
}

// head is the rest of a rule set. It holds for as long as its lists do.
type head struct {
	tables
	id    uint32
	set   RuleSet
	lists [2][Layers]*list // nil: no rules
	acts  [sections][2]*list
	files [2]*list
	audit *head // nil: none
}

// builder makes the heads and lists of rule sets. Port sets and process sets are
// named by the ids inside them: an id names one content for as long as anything uses
// it.
type builder struct {
	ids   *IDs
	image uint64
	last  map[sum]*list // of the Image before
	lists map[sum]*list
	out   *tables
}

// headOf is the head of a rule set, as it was made last if it holds.
func (b builder) headOf(s *ruleSet) *head {
	var lists [2][Layers]*list
	for d := range s.rules {
		for l, rules := range s.rules[d] {
			if len(rules) > 0 {
				lists[d][l] = b.listOf(s.lists[d][l], rules)
			}
		}
	}
	var acts [sections][2]*list
	for kind := range s.acts {
		for i, r := range s.acts[kind] {
			if len(r.allow) > 0 {
				acts[kind][i] = b.permitsOf(r.list, r.allow)
			}
		}
	}
	var files [2]*list
	for i, r := range s.files {
		if len(r.rules) > 0 {
			files[i] = b.filesOf(r.list, r.rules)
		}
	}
	var audit *head
	if s.audit != nil {
		audit = b.headOf(s.audit)
	}
	if h := s.head; h != nil && h.lists == lists && h.acts == acts && h.files == files && h.audit == audit {
		h.keep(b.ids)
		return h
	}
	s.head = &head{tables: newTables(), lists: lists, acts: acts, files: files, audit: audit}
	b.out = &s.head.tables
	s.head.id = b.id(s.sum)
	s.head.set = b.ruleSet(s, s.head)
	return s.head
}

// ruleSet is what a rule set's id stands for.
func (b builder) ruleSet(s *ruleSet, h *head) RuleSet {
	out := RuleSet{Active: s.active, Errno: s.errno, Privileges: s.action}
	if h.audit != nil {
		out.Audit = h.audit.id
	}
	if s.action != ActionIgnore {
		out.PrivilegesRule = b.rule(s.actionRule)
	}
	for d := range h.lists {
		for l, list := range h.lists[d] {
			if list != nil {
				out.Lists[d][l], out.AnyPeer[d][l] = list.id, list.any
			}
		}
	}
	out.Listen = b.listen(s.rules[policy.Ingress][WorkloadPolicies])
	for i := range 2 {
		out.Exec[i] = b.runtimeHead(s.acts[execs][i], h.acts[execs][i])
		out.Capabilities[i] = b.runtimeHead(s.acts[capabilities][i], h.acts[capabilities][i])
		if h.files[i] != nil {
			out.Files[i] = h.files[i].id
		}
	}
	return out
}

// listOf is what a list of rules is, as it was made last if it holds.
func (b builder) listOf(content sum, rules []*rule) *list {
	if l, ok := b.lists[content]; ok {
		return l
	}
	l := b.last[content]
	if l != nil && !l.stale(rules) {
		l.keep(b.ids)
	} else {
		l = &list{tables: newTables(), image: b.image}
		b.out = &l.tables
		l.id = b.id(content)
		l.any, l.edges = b.edges(l.id, rules)
	}
	b.lists[content] = l
	return l
}

// stale says whether the list of some rules is to be made anew.
func (l *list) stale(rules []*rule) bool {
	return slices.ContainsFunc(rules, func(r *rule) bool {
		return slices.ContainsFunc(r.peers, func(e *entry) bool { return e.changed > l.image })
	})
}

// keep says that an Image uses the tables.
func (t *tables) keep(ids *IDs) {
	for _, u := range t.used {
		ids.keep(u)
	}
}

// id is the id of a content that the tables use.
func (b builder) id(content sum) uint32 {
	used := b.ids.of(content)
	b.out.used = append(b.out.used, used)
	return used.id
}

// rule is the id of a rule's name.
func (b builder) rule(ref policy.RuleRef) uint32 {
	id, ok := b.out.rules[ref]
	if !ok {
		id = b.id(encode(kindRuleRef).ref(ref).sum())
		b.out.rules[ref] = id
	}
	return id
}

// term is a rule with its ports for some peers.
type term struct {
	*rule
	ports []PortKey
}

// edges are the port set of the rules without peers, and the edges of a list where
// others grant something too.
func (b builder) edges(list uint32, rules []*rule) (anySet PortSet, out []edge) {
	var terms []term
	var anyPeer []int                 // terms are named by their index
	byClass := make(map[*class][]int) // ascending
	for _, r := range rules {
		if r.anyPeer {
			anyPeer = append(anyPeer, len(terms))
		}
		for _, g := range r.grants() {
			for _, e := range g.entries {
				for cl := range e.classes {
					to := byClass[cl]
					if len(to) == 0 || to[len(to)-1] != len(terms) { // two peers of one rule may share a class
						byClass[cl] = append(to, len(terms))
					}
				}
			}
			terms = append(terms, term{r, g.ports})
		}
	}
	known := make(map[string]PortSet) // by the indices of the terms
	anySet = b.portSet(terms, anyPeer)
	for _, cl := range sortedClasses(byClass) {
		all := slices.Concat(anyPeer, byClass[cl])
		slices.Sort(all)
		key := spell(all)
		set, ok := known[key]
		if !ok {
			set = b.portSet(terms, all)
			known[key] = set
		}
		if set != anySet {
			out = append(out, edge{Edge{list, cl.number()}, set})
		}
	}
	return anySet, out
}

// listen is the port set of all rules, whatever their peers; zero if none of them
// names processes.
func (b builder) listen(rules []*rule) PortSet {
	var terms []term
	var all []int
	reserves := false
	for _, r := range rules {
		reserves = reserves || len(r.processes) > 0
		for _, g := range r.grants() {
			all = append(all, len(terms))
			terms = append(terms, term{r, g.ports})
		}
	}
	if !reserves {
		return PortSet{}
	}
	return b.portSet(terms, all)
}

// grant is what a rule grants to some entries.
type grant struct {
	entries []*entry
	ports   []PortKey
}

// grants is what a rule grants: its ports to its peers, or each number to what a
// port name holds there.
func (r *rule) grants() []grant {
	if len(r.ports) > 0 {
		return []grant{{r.peers, r.ports}}
	}
	byNumber := make(map[PortKey]grant)
	for _, named := range r.peers {
		for port, e := range named.numbers {
			key := portByNumber(port)
			byNumber[key] = grant{append(byNumber[key].entries, e), []PortKey{key}}
		}
	}
	out := make([]grant, 0, len(byNumber))
	for _, g := range byNumber {
		out = append(out, g)
	}
	slices.SortFunc(out, func(x, y grant) int { return comparePorts(x.ports[0], y.ports[0]) })
	return out
}

// sortedClasses are the classes in the order of their ids, so that fresh ids do
// not depend on map order.
func sortedClasses(byClass map[*class][]int) []*class {
	out := make([]*class, 0, len(byClass))
	for cl := range byClass {
		out = append(out, cl)
	}
	slices.SortFunc(out, func(a, b *class) int { return cmp.Compare(a.number(), b.number()) })
	return out
}

func spell(indices []int) string {
	var e encoding
	for _, i := range indices {
		e = e.number(i)
	}
	return string(e)
}
