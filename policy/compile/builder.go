// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// builder fills an Image with rule sets and what they point to. Port sets and
// process sets are named by the ids inside them: an id names one content for as
// long as anything uses it.
type builder struct {
	ids   *IDs
	image *Image
	// holding lists, for each entry, the classes that hold it.
	holding [][]uint32

	ports     map[uint32]bool        // port sets that are in the image
	processes map[uint32][]pathGrant // process sets
}

// pathGrant is an entry of a process set before paths are programs.
type pathGrant struct {
	path string
	rule *rule
}

// ruleSet adds a rule set, its audit twin and their edges. It returns the id.
func (b *builder) ruleSet(s *ruleSet) uint32 {
	if s == nil {
		return RuleSetOpen
	}
	id := b.ids.of(s.sum)
	if _, ok := b.image.RuleSets[id]; ok {
		return id
	}
	out := RuleSet{Isolated: s.isolated, Errno: s.errno, Privileges: s.action}
	if s.audit != nil {
		out.Audit = b.ruleSet(s.audit)
	}
	if s.action != ActionIgnore {
		out.PrivilegesRule = b.rule(s.actionRule)
	}
	for d := range s.rules {
		for l, rules := range s.rules[d] {
			out.AnyPeer[d][l] = b.edges(Edge{id, ClassNone, policy.Direction(d), Layer(l)}, rules)
		}
	}
	b.image.RuleSets[id] = out
	return id
}

// edges adds the edges of one direction and layer: at stands for all of them but
// for the class. It returns the port set of the rules without peers. Rules are
// named by their index.
func (b *builder) edges(at Edge, rules []*rule) uint32 {
	var anyPeer []int
	byClass := make(map[uint32][]int)
	var order []uint32 // fresh ids do not depend on map order
	for i, r := range rules {
		if len(r.peers) == 0 {
			anyPeer = append(anyPeer, i)
		}
		for _, e := range r.peers {
			for _, class := range b.holding[e.index] {
				to := byClass[class]
				if len(to) == 0 {
					order = append(order, class)
				}
				if len(to) == 0 || to[len(to)-1] != i { // two peers of one rule may share a class
					byClass[class] = append(to, i)
				}
			}
		}
	}
	anySet := b.portSet(rules, anyPeer)
	known := make(map[string]uint32) // port sets by the indices of their rules
	for _, class := range order {
		all := slices.Concat(anyPeer, byClass[class])
		slices.Sort(all)
		key := spell(all)
		set, ok := known[key]
		if !ok {
			set = b.portSet(rules, all)
			known[key] = set
		}
		if set != anySet {
			at.Class = class
			b.image.Edges[at] = set
		}
	}
	return anySet
}

func spell(indices []int) string {
	var e encoding
	for _, i := range indices {
		e = e.number(i)
	}
	return string(e)
}

// portSet adds what some of the rules grant together. It returns 0 for no rules.
func (b *builder) portSet(rules []*rule, which []int) uint32 {
	if len(which) == 0 {
		return 0
	}
	var keys []policy.Port
	for _, i := range which {
		keys = append(keys, rules[i].ports...)
		if len(rules[i].ports) == 0 {
			keys = append(keys, policy.Port{})
		}
	}
	keys = sortedSet(keys, comparePorts)
	grants := make([]Grant, len(keys))
	e := encode(kindPorts)
	for k, port := range keys {
		grants[k] = b.grant(rules, which, port)
		e = e.number(int(port.Protocol)).number(int(port.Number)).
			number(int(grants[k].Rule)).number(int(grants[k].Processes))
	}
	id := b.ids.of(e.sum())
	if !b.ports[id] {
		b.ports[id] = true
		for k, port := range keys {
			b.image.Ports[PortKey{id, port.Protocol, port.Number}] = grants[k]
		}
	}
	return id
}

// grant is what those of the rules that cover a port grant: for each path they
// name, and for every process, the first of them.
func (b *builder) grant(rules []*rule, which []int, port policy.Port) Grant {
	var out Grant
	var paths []pathGrant
	for _, i := range which {
		r := rules[i]
		if !r.covers(port) {
			continue
		}
		if len(r.processes) == 0 && out.Rule == 0 {
			out.Rule = b.rule(r.ref)
		}
		for _, path := range r.processes {
			named := func(g pathGrant) bool { return g.path == path }
			if !slices.ContainsFunc(paths, named) {
				paths = append(paths, pathGrant{path, r})
			}
		}
	}
	out.Processes = b.processSet(paths)
	return out
}

// covers says whether a rule grants everything that an entry of a port set stands
// for.
func (r *rule) covers(p policy.Port) bool {
	return len(r.ports) == 0 || slices.Contains(r.ports, p) ||
		slices.Contains(r.ports, policy.Port{Protocol: p.Protocol}) ||
		slices.Contains(r.ports, policy.Port{})
}

// rule adds a rule's name.
func (b *builder) rule(ref policy.RuleRef) uint32 {
	id := b.ids.of(encode(kindRuleRef).ref(ref).sum())
	b.image.Rules[id] = ref
	return id
}
