// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// nameLabel is the label that the API server sets on every namespace.
const nameLabel = "kubernetes.io/metadata.name"

// entry is a peer entry, that is a set of addresses that some rule names: a block,
// or the pods that a pair of selectors selects.
type entry struct {
	sum   sum
	block *policy.IPBlock // nil: the selectors
	// A namespace's name is one of its labels, so the policy's own is a selector too.
	namespaces, pods policy.Selector

	index int32 // place among the entries of the Compile under way, by sum
}

// newEntry makes the entry of a peer of a policy in namespace own.
func newEntry(own string, p policy.Peer) *entry {
	if b := p.IPBlock; b != nil {
		except := sortedSet(b.Except, netip.Prefix.Compare)
		e := encode(kindBlock).prefix(b.CIDR).number(len(except))
		for _, x := range except {
			e = e.prefix(x)
		}
		return &entry{sum: e.sum(), block: b}
	}
	n := &entry{namespaces: ownNamespace(own)}
	if p.Namespaces != nil {
		n.namespaces = *p.Namespaces
	}
	if p.Pods != nil {
		n.pods = *p.Pods
	}
	n.sum = encode(kindPair).selector(n.namespaces).selector(n.pods).sum()
	return n
}

func ownNamespace(name string) policy.Selector {
	return policy.Selector{Requirements: []policy.Requirement{
		{Key: nameLabel, Operator: policy.In, Values: []string{name}},
	}}
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
