// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// tables are what a rule set is in an Image. They hold for as long as the classes
// of its entries do not change.
type tables struct {
	image uint64 // in which they were made
	id    uint32
	set   RuleSet
	audit *tables // nil: none
	edges []edge
	// What the edges and the set point to.
	ports     map[uint32]portSet
	processes map[uint32][]pathGrant
	rules     map[policy.RuleRef]uint32
	used      []*usedID
}

type edge struct {
	Edge
	PortSet
}

// fresh says whether the tables still hold.
func (t *tables) fresh(s *ruleSet) bool {
	return t != nil && !slices.ContainsFunc(s.entries, func(e *entry) bool { return e.changed > t.image })
}

// builder makes the tables of rule sets. Port sets and process sets are named by
// the ids inside them: an id names one content for as long as anything uses it.
type builder struct {
	ids   *IDs
	image uint64
	out   *tables
}

// tablesOf are the tables of a rule set, as they were made last if they hold.
func (b builder) tablesOf(s *ruleSet) *tables {
	if s.tables.fresh(s) {
		s.tables.keep(b.ids)
		return s.tables
	}
	b.out = &tables{
		image: b.image, ports: make(map[uint32]portSet),
		processes: make(map[uint32][]pathGrant), rules: make(map[policy.RuleRef]uint32),
	}
	s.tables = b.out
	b.out.id = b.id(s.sum)
	b.out.set = RuleSet{Active: s.active, Errno: s.errno, Privileges: s.action}
	if s.audit != nil {
		b.out.audit = b.tablesOf(s.audit)
		b.out.set.Audit = b.out.audit.id
	}
	if s.action != ActionIgnore {
		b.out.set.PrivilegesRule = b.rule(s.actionRule)
	}
	for d := range s.rules {
		for l, rules := range s.rules[d] {
			at := Edge{RuleSet: b.out.id, Direction: policy.Direction(d), Layer: Layer(l)}
			b.out.set.AnyPeer[d][l] = b.edges(at, rules)
		}
	}
	b.out.set.Listen = b.listen(s.rules[policy.Ingress][WorkloadPolicies])
	return b.out
}

// keep says that an Image uses the tables.
func (t *tables) keep(ids *IDs) {
	for _, u := range t.used {
		ids.keep(u)
	}
	if t.audit != nil {
		t.audit.keep(ids)
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

// edges adds the edges of one direction and layer: at stands for all of them but
// for the class. It returns the port set of the rules without peers.
func (b builder) edges(at Edge, rules []*rule) PortSet {
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
	anySet := b.portSet(terms, anyPeer)
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
			at.Class = cl.number()
			b.out.edges = append(b.out.edges, edge{at, set})
		}
	}
	return anySet
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
