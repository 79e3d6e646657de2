// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"cmp"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// applied is a policy that selects the judged pod in the flow's direction.
type applied struct {
	ref      policy.Ref
	priority int           // of a ClusterNetworkPolicy
	audit    bool          // isolates nothing and allows nothing
	errno    bool          // answers a denial with EPERM
	rules    []policy.Rule // of that direction
	misses   []part        // for each rule, what of it the flow does not match
}

func (p *applied) rule(i int) policy.RuleRef { return policy.RuleRef{Policy: p.ref, Index: i} }

// apply asks each rule of a policy about the flow.
func (q *question) apply(p applied) applied {
	for _, r := range p.rules {
		p.misses = append(p.misses, q.misses(p.ref.Namespace, r))
	}
	return p
}

// tier are the ClusterNetworkPolicies of a tier whose subject the pod is. "CNPs
// with no ingress (egress) rules do not affect ingress (egress) traffic."
// "Policies with lower priority values have higher precedence"; the API leaves
// open which of several policies with one priority is applied: here the first by
// name.
func (q *question) tier(t policy.Tier) []applied {
	var out []applied
	for _, p := range q.c.ClusterNetworkPolicies {
		if p.Tier == t && len(p.Rules[q.Direction]) > 0 && clusterSubject(q.c, q.pod, p.Namespaces, p.Pods) {
			out = append(out, q.apply(applied{ref: p.Ref(), priority: p.Priority, rules: p.Rules[q.Direction]}))
		}
	}
	slices.SortFunc(out, func(a, b applied) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.ref.Name, b.ref.Name))
	})
	return out
}

// networkPolicies are the NetworkPolicies that isolate the pod in the flow's
// direction: they stand in its namespace, their podSelector selects it and their
// policyTypes name the direction. The rules of another direction are not in
// force, whether written or not.
func (q *question) networkPolicies() []applied {
	var out []applied
	for _, p := range q.c.NetworkPolicies {
		if p.Isolates[q.Direction] && subject(q.pod, p.Namespace, p.Pods) {
			out = append(out, q.apply(applied{ref: p.Ref(), rules: p.Rules[q.Direction]}))
		}
	}
	return inOrder(out)
}

// workloadPolicies is networkPolicies for WorkloadPolicies and
// ClusterWorkloadPolicies, those in Audit mode too.
func (q *question) workloadPolicies() []applied {
	var out []applied
	for _, p := range q.c.WorkloadPolicies {
		if p.Isolates[q.Direction] && workloadSubject(q.c, q.pod, p) {
			out = append(out, q.apply(applied{
				ref: p.Ref(), rules: p.Rules[q.Direction],
				audit: p.Mode == policy.Audit, errno: p.DenyResponse == policy.Errno,
			}))
		}
	}
	return inOrder(out)
}

// inForce leaves Audit policies out: "An Audit policy isolates nothing and allows
// nothing", but in the second judgement.
func inForce(policies []applied, enforceAudit bool) []applied {
	var out []applied
	for _, p := range policies {
		if !p.audit || enforceAudit {
			out = append(out, p)
		}
	}
	return out
}

// inOrder sorts policies in the order in which the first of several rules is named.
func inOrder(policies []applied) []applied {
	slices.SortFunc(policies, func(a, b applied) int { return a.ref.Compare(b.ref) })
	return policies
}
