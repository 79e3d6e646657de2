// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// nameLabel is the label that the API server sets on every namespace.
const nameLabel = "kubernetes.io/metadata.name"

// entry is a set of addresses that rules name. It is known by what the rules say;
// which addresses those are, the cluster says, and may change.
type entry struct {
	kind   kind
	sum    sum
	serial uint32 // in the order in which the Compiler came to know them

	block *policy.IPBlock // kindBlock
	// Of pods for kindPair and kindAccounts. A namespace's name is one of its
	// labels, so the policy's own is a selector too.
	namespaces policy.Selector
	labels     policy.Selector   // of pods for kindPair, of nodes for kindNodes
	accounts   []string          // kindAccounts
	service    policy.ObjectKey  // kindService
	selector   map[string]string // the Service's, as the cluster has it now
	// kindNamed: what base holds (nil: every pod) and has the port named so, one
	// entry for each number. kindNumber: one of these.
	base    *entry
	port    policy.Port
	numbers map[policy.Port]*entry // of a kindNamed
	of      *entry                 // of a kindNumber

	used    uint64              // the last Image whose rule sets use it
	kept    uint64              // the last Image for which sweep kept it
	asked   uint64              // the Image in which objects were asked about it; 0: not in use
	classes map[*class]struct{} // that hold it
	changed uint64              // the Image in which classes changed last
}

// registry holds every entry that a lowered policy or a rule set may use, each once.
type registry struct {
	known  map[sum]*entry
	serial uint32 // of the entry made last
}

// intern is the one entry with e's content.
func (r *registry) intern(e *entry) *entry {
	if known, ok := r.known[e.sum]; ok {
		return known
	}
	r.known[e.sum] = e
	r.register(e)
	return e
}

func (r *registry) register(e *entry) {
	r.serial++
	e.serial = r.serial
	e.classes = make(map[*class]struct{})
}

// sweep forgets the entries that neither a policy nor a rule set uses.
func (r *registry) sweep(image uint64, policies *lowerer, ruleSets ...generation) {
	keep := func(e *entry) {
		e.kept = image
		if e.base != nil {
			e.base.kept = image
		}
	}
	for _, p := range policies.known {
		for _, rules := range p.rules {
			for _, r := range rules {
				for _, e := range r.peers {
					keep(e)
				}
			}
		}
	}
	for _, g := range ruleSets {
		for _, s := range g.ruleSets {
			for _, e := range s.entries {
				keep(e)
			}
		}
	}
	for sum, e := range r.known {
		if e.kept != image {
			delete(r.known, sum)
		}
	}
}

// number is what a named entry holds at one number.
func (r *registry) number(of *entry, port policy.Port) *entry {
	e, ok := of.numbers[port]
	if !ok {
		content := encode(kindNumber).port(portByNumber(port))
		e = &entry{kind: kindNumber, sum: append(content, of.sum[:]...).sum(), port: port, of: of}
		r.register(e)
		of.numbers[port] = e
	}
	return e
}

// newEntry makes the entry of a peer of a policy in namespace own. It returns nil
// for a peer that matches nothing whatever the cluster.
func newEntry(own string, p policy.Peer) *entry {
	switch {
	case p.IPBlock != nil:
		return newBlock(p.IPBlock)
	case p.ServiceAccounts != nil:
		e := &entry{kind: kindAccounts, namespaces: ownNamespace(own), accounts: sortedSet(p.ServiceAccounts.Names, cmp.Compare)}
		if p.ServiceAccounts.Namespaces != nil {
			e.namespaces = *p.ServiceAccounts.Namespaces
		}
		e.sum = encode(kindAccounts).selector(e.namespaces).strings(e.accounts).sum()
		return e
	case p.Service != nil:
		return newService(*p.Service)
	case p.Entity == policy.KubeAPIServer:
		return newService(policy.ObjectKey{Namespace: "default", Name: "kubernetes"})
	case p.Entity == policy.EntityNode:
		return newNodes(policy.Selector{})
	case p.Nodes != nil:
		return newNodes(*p.Nodes)
	case p.Entity == policy.World:
		return &entry{kind: kindWorld, sum: encode(kindWorld).sum()}
	case p.DomainNames != nil:
		return nil
	}
	e := &entry{kind: kindPair, namespaces: ownNamespace(own)}
	if p.Namespaces != nil {
		e.namespaces = *p.Namespaces
	}
	if p.Pods != nil {
		e.labels = *p.Pods
	}
	e.sum = encode(kindPair).selector(e.namespaces).selector(e.labels).sum()
	return e
}

func newBlock(b *policy.IPBlock) *entry {
	except := sortedSet(b.Except, netip.Prefix.Compare)
	e := encode(kindBlock).prefix(b.CIDR).number(len(except))
	for _, x := range except {
		e = e.prefix(x)
	}
	return &entry{kind: kindBlock, sum: e.sum(), block: b}
}

func newService(key policy.ObjectKey) *entry {
	return &entry{kind: kindService, sum: encode(kindService).string(key.Namespace).string(key.Name).sum(), service: key}
}

func newNodes(s policy.Selector) *entry {
	return &entry{kind: kindNodes, sum: encode(kindNodes).selector(s).sum(), labels: s}
}

// newNamed makes the entry of what base holds, every pod if it is nil, and has a
// port of that name.
func newNamed(base *entry, port policy.Port) *entry {
	e := encode(kindNamed).string(port.Name).number(int(port.Protocol)).flag(base != nil)
	if base != nil {
		e = append(e, base.sum[:]...)
	}
	return &entry{kind: kindNamed, sum: e.sum(), base: base, port: port, numbers: make(map[policy.Port]*entry)}
}

func ownNamespace(name string) policy.Selector {
	return policy.Selector{Requirements: []policy.Requirement{
		{Key: nameLabel, Operator: policy.In, Values: []string{name}},
	}}
}

// selects says whether the entry holds an object's addresses. A named one holds
// them if its base holds them too, which is not asked here: a base may hold
// addresses without an object.
func (e *entry) selects(o *object) bool {
	switch e.kind {
	case kindPair:
		return o.kind == policy.KindPod && matches(e.namespaces, o.namespaceLabels) && matches(e.labels, o.labels)
	case kindAccounts:
		return o.kind == policy.KindPod && matches(e.namespaces, o.namespaceLabels) &&
			(len(e.accounts) == 0 || slices.Contains(e.accounts, o.account))
	case kindService:
		if o.kind == policy.KindPod {
			return o.namespace == e.service.Namespace && len(e.selector) > 0 && includes(o.labels, e.selector)
		}
		return o.kind == policy.KindEndpointSlice && o.namespace == e.service.Namespace && o.service == e.service.Name
	case kindNodes:
		return o.kind == policy.KindNode && matches(e.labels, o.labels)
	case kindNamed:
		return o.kind == policy.KindPod && slices.ContainsFunc(o.ports, func(c policy.ContainerPort) bool { return named(e.port, c) })
	}
	return false
}

// matches says whether labels meet every requirement of a selector. NotIn is met
// by what does not have the key.
func matches(s policy.Selector, labels map[string]string) bool {
	for _, r := range s.Requirements {
		value, ok := labels[r.Key]
		switch r.Operator {
		case policy.In:
			ok = ok && slices.Contains(r.Values, value)
		case policy.NotIn:
			ok = !ok || !slices.Contains(r.Values, value)
		case policy.DoesNotExist:
			ok = !ok
		}
		if !ok {
			return false
		}
	}
	return true
}

// includes says whether labels has all that part has.
func includes(labels, part map[string]string) bool {
	for k, v := range part {
		if w, ok := labels[k]; !ok || w != v {
			return false
		}
	}
	return true
}

func compareEntries(a, b *entry) int { return slices.Compare(a.sum[:], b.sum[:]) }

func compareSerials(a, b *entry) int { return cmp.Compare(a.serial, b.serial) }
