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

// lowered is a policy of any kind in canonical form. It depends on nothing but
// the policy.
type lowered struct {
	serial     uint32 // in the order in which the Compiler came to know them
	round      uint64 // the last in which it was there
	ref        policy.Ref
	layer      Layer
	priority   int              // within an ordered layer
	namespaces *policy.Selector // of the pods of a cluster-scoped policy; else nil
	pods       policy.Selector
	audit      bool // not enforced
	errno      bool
	active     [2]bool
	rules      [2][]*rule    // of the directions that are active
	names      []policy.Port // names of ports in ingress rules
	kill       *policy.RuleRef
	sources    []netip.Prefix

	restrictions [sections]*restriction // nil: these acts are not restricted
	files        []*guard               // rules on files
	fallback     policy.Fallback
}

// rule is a rule, or the part of it that one port name stands for, in canonical
// form: lists are sorted, each element once.
type rule struct {
	sum       sum
	ref       policy.RuleRef
	verdict   Verdict // of an ordered layer
	anyPeer   bool
	peers     []*entry // of kindNamed, or none is
	ports     []PortKey
	named     []policy.Port // in place of ports: a list with names of the judged pod's
	processes []string
}

// lowerer lowers policies, each once.
type lowerer struct {
	entries *registry
	known   map[any]*lowered // by the pointer to the policy
	serial  uint32
	round   uint64 // counts calls of cluster
}

// cluster lowers all policies, sorted by ref, which is the order in which the
// first of several rules is named. It fails if one of them is not valid.
func (l *lowerer) cluster(c *policy.Cluster) ([]*lowered, error) {
	l.round++
	out := make([]*lowered, 0, len(c.ClusterNetworkPolicies)+len(c.NetworkPolicies)+len(c.WorkloadPolicies))
	err := errors.Join(
		lowerAll(l, &out, c.ClusterNetworkPolicies, validateClusterNetworkPolicy, l.clusterNetworkPolicy),
		lowerAll(l, &out, c.NetworkPolicies, validateNetworkPolicy, l.networkPolicy),
		lowerAll(l, &out, c.WorkloadPolicies, validateWorkloadPolicy, l.workloadPolicy),
	)
	slices.SortFunc(out, func(a, b *lowered) int { return a.ref.Compare(b.ref) })
	for i := range out[:max(0, len(out)-1)] {
		if out[i].ref == out[i+1].ref {
			err = errors.Join(err, fmt.Errorf("%s: there twice", out[i].ref))
		}
	}
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(l.known, func(_ any, p *lowered) bool { return p.round != l.round })
	return out, nil
}

// lowerAll appends the policies of one kind, lowered, to all.
func lowerAll[P interface {
	comparable
	Ref() policy.Ref
}](l *lowerer, all *[]*lowered, list []P, validate func(P) error, lower func(P) *lowered) error {
	var errs []error
	for _, p := range list {
		out, ok := l.known[p]
		if !ok {
			if err := validate(p); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", p.Ref(), err))
				continue
			}
			out = lower(p)
			l.serial++
			out.serial, out.ref = l.serial, p.Ref()
			l.known[p] = out
		}
		if out.round != l.round {
			out.round = l.round
			*all = append(*all, out)
		}
	}
	return errors.Join(errs...)
}

func (l *lowerer) networkPolicy(p *policy.NetworkPolicy) *lowered {
	out := &lowered{layer: NetworkPolicies, pods: p.Pods, active: p.Isolates}
	l.rules(out, p.Ref(), p.Rules)
	return out
}

func (l *lowerer) workloadPolicy(p *policy.WorkloadPolicy) *lowered {
	out := &lowered{
		layer: WorkloadPolicies, namespaces: p.Namespaces, pods: p.Pods, active: p.Isolates,
		audit: p.Mode == policy.Audit, errno: p.DenyResponse == policy.Errno,
		kill: killsOnPrivileges(p), restrictions: restrictions(p), files: guards(p), fallback: p.Fallback,
	}
	if p.Namespaces != nil && p.Mode == policy.Enforce {
		out.sources = p.AllowedSources
	}
	l.rules(out, p.Ref(), p.Rules)
	return out
}

func (l *lowerer) clusterNetworkPolicy(p *policy.ClusterNetworkPolicy) *lowered {
	out := &lowered{layer: Admin, priority: p.Priority, namespaces: &p.Namespaces, pods: p.Pods}
	if p.Tier == policy.Baseline {
		out.layer = Baseline
	}
	for d := range p.Rules {
		out.active[d] = len(p.Rules[d]) > 0
	}
	l.rules(out, p.Ref(), p.Rules)
	return out
}

// rules lowers the rules of the directions that a policy is active in; others are
// not in force.
func (l *lowerer) rules(out *lowered, ref policy.Ref, rules [2][]policy.Rule) {
	for d := range rules {
		for i, r := range rules[d] {
			if out.active[d] {
				out.rules[d] = append(out.rules[d], l.rule(policy.RuleRef{Policy: ref, Index: i}, r, policy.Direction(d))...)
			}
		}
	}
	for _, r := range out.rules[policy.Ingress] {
		out.names = append(out.names, portNames(r.named)...)
	}
	out.names = sortedSet(out.names, compareNames)
}

// rule lowers a rule of one direction: to nothing if it matches nothing whatever
// the cluster, and to one part for each name of a port of destination pods.
func (l *lowerer) rule(ref policy.RuleRef, r policy.Rule, d policy.Direction) []*rule {
	if r.Unknown {
		if r.Action == policy.Accept {
			return nil
		}
		return []*rule{rule{ref: ref, verdict: Deny, anyPeer: true, ports: []PortKey{everyPort}}.summed()}
	}
	whole := rule{ref: ref, verdict: verdicts[r.Action], anyPeer: len(r.Peers) == 0}
	for _, p := range r.Peers {
		if e := newEntry(ref.Policy.Namespace, p); e != nil {
			whole.peers = append(whole.peers, l.entries.intern(e))
		}
	}
	whole.peers = sortedSet(whole.peers, compareEntries)
	for _, p := range r.Processes {
		whole.processes = append(whole.processes, p.Path)
	}
	whole.processes = sortedSet(whole.processes, cmp.Compare)
	if !whole.anyPeer && len(whole.peers) == 0 {
		return nil
	}
	return l.parts(whole, r.Ports, d)
}

// parts gives a rule its ports.
func (l *lowerer) parts(whole rule, ports []policy.Port, d policy.Direction) (out []*rule) {
	names := portNames(ports)
	if d == policy.Ingress && len(names) > 0 {
		whole.named = ports
		return []*rule{&whole}
	}
	if len(ports) == 0 {
		whole.ports = []PortKey{everyPort}
	} else {
		whole.ports = portKeys(slices.DeleteFunc(slices.Clone(ports), isNamed))
	}
	if len(whole.ports) > 0 {
		out = append(out, whole.summed())
	}
	for _, name := range sortedSet(names, compareNames) {
		part := whole
		part.anyPeer, part.peers, part.ports = false, nil, nil
		if whole.anyPeer {
			part.peers = append(part.peers, l.entries.intern(newNamed(nil, name)))
		}
		for _, base := range whole.peers {
			part.peers = append(part.peers, l.entries.intern(newNamed(base, name)))
		}
		out = append(out, part.summed())
	}
	return out
}

// on is a rule on a pod that has ports, nil if it matches nothing there.
func (r rule) on(pod []policy.ContainerPort) *rule {
	ports := slices.DeleteFunc(slices.Clone(r.named), isNamed)
	r.ports = portKeys(append(ports, numbers(portNames(r.named), pod)...))
	r.named = nil
	if len(r.ports) == 0 {
		return nil
	}
	return r.summed()
}

func isNamed(p policy.Port) bool { return p.Name != "" }

func portNames(ports []policy.Port) []policy.Port {
	return slices.DeleteFunc(slices.Clone(ports), func(p policy.Port) bool { return !isNamed(p) })
}

// verdicts of a ClusterNetworkPolicy's rules; those of other kinds have none.
var verdicts = map[policy.RuleAction]Verdict{policy.Accept: Accept, policy.Deny: Deny, policy.Pass: Pass}

// summed gives a rule its sum.
func (r rule) summed() *rule {
	e := append(encode(kindRule).ref(r.ref), byte(r.verdict)).flag(r.anyPeer).number(len(r.peers))
	for _, p := range r.peers {
		e = append(e, p.sum[:]...)
	}
	e = e.number(len(r.ports))
	for _, p := range r.ports {
		e = e.port(p)
	}
	r.sum = e.strings(r.processes).sum()
	return &r
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

func compareNames(a, b policy.Port) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Name, b.Name))
}
