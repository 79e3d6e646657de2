// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// lowered is a policy of any kind in canonical form. It depends on nothing but
// the policy.
type lowered struct {
	ref      policy.Ref
	layer    Layer
	pods     policy.Selector
	audit    bool // not enforced
	errno    bool
	isolates [2]bool
	rules    [2][]*rule // of the directions that it isolates
	kill     *policy.RuleRef
}

// rule is an allow rule in canonical form: lists are sorted, each element once.
type rule struct {
	sum       sum
	ref       policy.RuleRef
	peers     []*entry // none: every peer
	ports     []policy.Port
	processes []string
}

// lowerer lowers policies; a peer entry that several of them name, or one of the
// generation before, is one entry.
type lowerer struct {
	last    map[sum]*entry
	entries map[sum]*entry
}

// cluster lowers all policies, sorted by ref. Within a layer that is the order in
// which the first of several rules is named.
func (l *lowerer) cluster(c *policy.Cluster) []*lowered {
	var out []*lowered
	for _, p := range c.NetworkPolicies {
		out = append(out, &lowered{
			ref: p.Ref(), layer: NetworkPolicies, pods: p.Pods, isolates: p.Isolates,
			rules: l.rules(p.Ref(), p.Isolates, p.Rules),
		})
	}
	for _, p := range c.WorkloadPolicies {
		out = append(out, &lowered{
			ref: p.Ref(), layer: WorkloadPolicies, pods: p.Pods, isolates: p.Isolates,
			audit: p.Mode == policy.Audit, errno: p.DenyResponse == policy.Errno,
			rules: l.rules(p.Ref(), p.Isolates, p.Rules),
			kill:  killsOnPrivileges(p),
		})
	}
	slices.SortFunc(out, func(a, b *lowered) int { return a.ref.Compare(b.ref) })
	return out
}

func (l *lowerer) rules(ref policy.Ref, isolates [2]bool, rules [2][]policy.Rule) (out [2][]*rule) {
	for d := range out {
		if !isolates[d] {
			continue // rules of a direction that is not isolated are not in force
		}
		for i, r := range rules[d] {
			out[d] = append(out[d], l.rule(policy.RuleRef{Policy: ref, Index: i}, r))
		}
	}
	return out
}

func (l *lowerer) rule(ref policy.RuleRef, r policy.Rule) *rule {
	out := &rule{ref: ref, ports: sortedSet(r.Ports, comparePorts)}
	peers := make(map[sum]*entry, len(r.Peers))
	for _, p := range r.Peers {
		e := newEntry(ref.Policy.Namespace, p)
		e = cmp.Or(l.entries[e.sum], l.last[e.sum], e)
		l.entries[e.sum], peers[e.sum] = e, e
	}
	out.peers = slices.SortedFunc(maps.Values(peers), compareEntries)
	for _, p := range r.Processes {
		out.processes = append(out.processes, p.Path)
	}
	out.processes = sortedSet(out.processes, cmp.Compare)

	e := encode(kindRule).ref(ref).number(len(out.peers))
	for _, p := range out.peers {
		e = append(e, p.sum[:]...)
	}
	e = e.number(len(out.ports))
	for _, p := range out.ports {
		e = e.number(int(p.Protocol)).number(int(p.Number))
	}
	out.sum = e.strings(out.processes).sum()
	return out
}

// killsOnPrivileges is the first rule of a policy that kills on a gain of
// privilege.
func killsOnPrivileges(p *policy.WorkloadPolicy) *policy.RuleRef {
	for i, r := range p.Escalation {
		if r.Action == policy.Kill && slices.Contains(r.Classes, policy.Privileges) {
			return &policy.RuleRef{Policy: p.Ref(), Index: i}
		}
	}
	return nil
}

func compareEntries(a, b *entry) int { return slices.Compare(a.sum[:], b.sum[:]) }

func comparePorts(a, b policy.Port) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
}
