// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// What covers what is said only where it is certain from the objects alone,
// whatever the cluster holds: one peer, port or requirement at a time.

// before says whether rule j of p is asked before a rule of the same tier.
func before(p *linted, j int, a at) bool {
	return cmp.Or(cmp.Compare(p.priority, a.p.priority), cmp.Compare(p.ref.Name, a.p.ref.Name), cmp.Compare(j, a.i)) < 0
}

// coversSubject says whether a is for every pod that b is for.
func coversSubject(a, b *linted) bool {
	return coversSelector(a.pods, b.pods) &&
		coversNamespaces(a.ref.Namespace, a.namespaces, b.ref.Namespace, b.namespaces)
}

// coversNamespaces compares namespace selectors; nil means the own namespace.
func coversNamespaces(ownA string, a *policy.Selector, ownB string, b *policy.Selector) bool {
	switch {
	case a == nil:
		return b == nil && ownA == ownB
	case b == nil:
		b = &policy.Selector{Requirements: []policy.Requirement{{Key: nameLabel, Operator: policy.In, Values: []string{ownB}}}}
	}
	return coversSelector(*a, *b)
}

// coversSelector says whether every label set that b selects is selected by a.
func coversSelector(a, b policy.Selector) bool {
	return every(a.Requirements, func(ra policy.Requirement) bool {
		return slices.ContainsFunc(b.Requirements, func(rb policy.Requirement) bool { return implies(rb, ra) })
	})
}

// implies says whether what meets b meets a.
func implies(b, a policy.Requirement) bool {
	if a.Key != b.Key {
		return false
	}
	switch a.Operator {
	case policy.In:
		return b.Operator == policy.In && subset(b.Values, a.Values)
	case policy.NotIn:
		return b.Operator == policy.NotIn && subset(a.Values, b.Values) || b.Operator == policy.DoesNotExist ||
			b.Operator == policy.In && !slices.ContainsFunc(b.Values, func(v string) bool { return slices.Contains(a.Values, v) })
	case policy.Exists:
		return b.Operator == policy.Exists || b.Operator == policy.In
	case policy.DoesNotExist:
		return b.Operator == policy.DoesNotExist
	}
	return false
}

// coversRule says whether rule a matches every flow that rule b, of a policy in
// the same namespace or of another cluster-scoped one, matches.
func coversRule(a, b policy.Rule) bool {
	if a.Unknown {
		return a.Action != policy.Accept // it denies everything
	}
	if b.Unknown {
		b.Peers, b.Ports = nil, nil
	}
	return covers(a.Peers, b.Peers, coversPeer) && covers(a.Ports, b.Ports, coversPort) &&
		covers(a.Processes, b.Processes, coversProcess)
}

// covers compares lists of which an empty one means everything.
func covers[T any](a, b []T, one func(a, b T) bool) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == 0
	}
	return every(b, func(y T) bool {
		return slices.ContainsFunc(a, func(x T) bool { return one(x, y) })
	})
}

func coversPeer(a, b policy.Peer) bool {
	switch {
	case a.IPBlock != nil && b.IPBlock != nil:
		return coversBlock(*a.IPBlock, *b.IPBlock)
	case a.ServiceAccounts != nil && b.ServiceAccounts != nil:
		x, y := a.ServiceAccounts, b.ServiceAccounts
		return coversNamespaces("", x.Namespaces, "", y.Namespaces) &&
			covers(x.Names, y.Names, func(a, b string) bool { return a == b })
	case a.Pods != nil || a.Namespaces != nil:
		return (b.Pods != nil || b.Namespaces != nil) && coversPods(a, b)
	case a.Entity == policy.EntityNode && b.Nodes != nil:
		return true
	case a.Nodes != nil && b.Nodes != nil:
		return coversSelector(*a.Nodes, *b.Nodes)
	}
	return reflect.DeepEqual(a, b)
}

// coversPods compares selectors of pods in one own namespace.
func coversPods(a, b policy.Peer) bool {
	var everyPod policy.Selector
	pods := func(p policy.Peer) policy.Selector {
		if p.Pods == nil {
			return everyPod
		}
		return *p.Pods
	}
	inNamespaces := a.Namespaces != nil && len(a.Namespaces.Requirements) == 0 ||
		(a.Namespaces == nil) == (b.Namespaces == nil) && coversNamespaces("", a.Namespaces, "", b.Namespaces)
	return inNamespaces && coversSelector(pods(a), pods(b))
}

func coversBlock(a, b policy.IPBlock) bool {
	return within(a.CIDR, b.CIDR) && every(a.Except, func(x netip.Prefix) bool {
		return !x.Overlaps(b.CIDR) || slices.ContainsFunc(b.Except, func(y netip.Prefix) bool { return within(y, x) })
	})
}

// within says whether all of inner is in outer.
func within(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

func coversPort(a, b policy.Port) bool {
	if a.Protocol != policy.AnyProtocol && a.Protocol != b.Protocol {
		return false
	}
	switch {
	case a.Name != "" || b.Name != "":
		return a.Name == b.Name || a.Name == "" && a.Number == 0
	case a.Number == 0 || b.Number == 0:
		return a.Number == 0
	}
	return a.Number <= b.Number && max(b.Number, b.End) <= max(a.Number, a.End)
}

func every[T any](list []T, is func(T) bool) bool {
	return !slices.ContainsFunc(list, func(x T) bool { return !is(x) })
}

func subset(a, b []string) bool {
	return every(a, func(v string) bool { return slices.Contains(b, v) })
}
