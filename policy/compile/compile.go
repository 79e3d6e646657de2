// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Compiler makes Images one after the other, each fit to replace the one before
// while flows are judged. What did not change since is not made again. It is not
// safe for concurrent use.
type Compiler struct {
	ids       *IDs
	entries   *registry
	lowerer   *lowerer
	addresses *addresses
	lists     map[sum]*list // of the Image made last
	image     uint64        // counts Images
	last      generation
	before    generation // for Skip
}

// generation is what one Image's Pods are judged by.
type generation struct {
	ruleSets []*ruleSet // in the order of Input.Local, each once
	known    map[string]*selected
}

// New makes a Compiler that takes its ids from a table, which it keeps up to
// date: new(IDs), or the stored one of a former process. Who stores it must do so
// between Compile and applying the Image: a later process would give ids that the
// kernel holds already to other contents.
func New(ids *IDs) *Compiler {
	entries := &registry{known: make(map[sum]*entry)}
	return &Compiler{
		ids: ids, entries: entries,
		lowerer:   &lowerer{entries: entries, known: make(map[any]*lowered)},
		addresses: newAddresses(ids, entries),
	}
}

// Compile makes the next Image. The Cluster and its objects must not change
// afterwards; the next snapshot has other maps. Images share what is equal in
// them, so they must not be changed either.
//
// The Image also holds the rule sets that the Pods of the Image before pointed to,
// by their old ids, and its classes tell apart what the peer entries of either
// tell apart. So verdicts are right all along if the tables are changed in this
// order: add what is new; change Peers and Prefixes, removals included, in any
// order; change programs; change Pods; remove the rest. What retires is gone from
// the next Image: the second Compile of one input may differ from the first, the
// third and further ones are equal to the second. Where an Image is skipped, or is
// the first of a new process, pods whose rules changed may see false denials
// while they are switched, and nothing worse: AnyPeer is the least that is granted.
// Where the object at an address and the PodCIDR around it come or go in one step,
// World may hold the address between the two changes.
//
// It fails on input that no reader of manifests lets pass (see validate.go) and
// when ids are used up; what retires next is then as before.
func (c *Compiler) Compile(in Input) (*Image, error) {
	cluster := newSnapshot(in.Cluster)
	changed := changes(c.addresses.cluster, cluster)
	policies, err := c.lowerer.cluster(in.Cluster)
	if err := errors.Join(err, validateObjects(cluster, changed)); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	pods := assign(cluster, in, policies, c.last.known)

	c.image++
	c.ids.begin()
	ruleSets := slices.Concat(c.last.ruleSets, pods.distinct)
	c.addresses.update(c.image, cluster, changed, c.use(ruleSets), in.Formers)
	image := c.build(in, ruleSets, pods)
	if err := c.ids.end(); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	c.before, c.last = c.last, generation{pods.distinct, pods.known}
	c.entries.sweep(c.image, c.lowerer, c.before, c.last)
	return image, nil
}

// Skip says that the Image made last was not put in force: what retires next is
// what the one before it holds. Twice in a row it does nothing.
func (c *Compiler) Skip() { c.last = c.before }

// use marks the entries of rule sets and lists them by serial.
func (c *Compiler) use(ruleSets []*ruleSet) []*entry {
	var out []*entry
	for _, s := range ruleSets {
		for _, e := range s.entries {
			if e.used != c.image {
				e.used = c.image
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, compareSerials)
	return out
}

// build makes an Image of rule sets.
func (c *Compiler) build(in Input, ruleSets []*ruleSet, pods assignment) *Image {
	image := &Image{
		Pods:      make(map[policy.PodKey]uint32, len(in.Local)),
		RuleSets:  make(map[uint32]RuleSet),
		Edges:     make(map[Edge]PortSet),
		Ports:     make(map[PortKey]Grant),
		Processes: make(map[ProcessKey]uint32),
		Permits:   make(map[Permit]uint32),
		FileRules: make(map[FileKey]RuntimeHead),
		Prefixes:  c.addresses.prefixes,
		Peers:     c.addresses.peers,
		Formers:   c.addresses.formerClasses(),
		Rules:     make(map[uint32]policy.RuleRef),
		Selected:  pods.selected,
		Sources:   pods.sources,
		Closed:    pods.closed,
	}
	image.Services, image.NodePorts = services(in.Cluster)
	b := builder{ids: c.ids, image: c.image, last: c.lists, lists: make(map[sum]*list)}
	all := newTables()
	for _, s := range ruleSets {
		image.addHead(b.headOf(s), all)
	}
	for _, l := range b.lists {
		image.addList(l, all)
	}
	c.lists = b.lists
	image.name(c.ids, newPrograms(c.ids, all, in), all)
	for _, key := range in.Local {
		image.Pods[key] = RuleSetOpen
		if s := pods.ruleSets[key]; s != nil {
			image.Pods[key] = c.ids.of(s.sum).id
		}
		if pods.closed[key] != nil {
			image.Pods[key] = RuleSetClosed
		}
	}
	return image
}

// addHead adds a rule set but for its lists. What names programs goes to all.
func (im *Image) addHead(h *head, all tables) {
	im.RuleSets[h.id] = h.set
	im.addTables(&h.tables, all)
	if h.audit != nil {
		im.addHead(h.audit, all)
	}
}

// addList adds a list of rules.
func (im *Image) addList(l *list, all tables) {
	for _, e := range l.edges {
		im.Edges[e.Edge] = e.PortSet
	}
	im.addTables(&l.tables, all)
}

func (im *Image) addTables(t *tables, all tables) {
	for id, set := range t.ports {
		for i, k := range set.keys {
			im.Ports[PortKey{id, k.Protocol, k.Bits, k.Port}] = set.grants[i]
		}
	}
	for ref, id := range t.rules {
		im.Rules[id] = ref
	}
	maps.Copy(all.processes, t.processes)
	maps.Copy(all.permits, t.permits)
	maps.Copy(all.files, t.files)
}

// services are the addresses of Services and the ports that nodes have for them.
func services(c *policy.Cluster) (ips []netip.Addr, nodePorts []NodePort) {
	for _, s := range c.Services {
		ips = append(ips, s.IPs...)
		for _, p := range s.Ports {
			if p.NodePort != 0 {
				nodePorts = append(nodePorts, NodePort{p.Protocol, p.NodePort})
			}
		}
	}
	return sortedSet(ips, netip.Addr.Compare), sortedSet(nodePorts, func(a, b NodePort) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
}
