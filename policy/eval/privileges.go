// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"cmp"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Privileges answers a gain of privilege in a pod: the strongest action of all
// WorkloadPolicies and ClusterWorkloadPolicies that select it. A Kill that is enforced is stronger than one
// that is audited, that one is stronger than Ignore.
func Privileges(c *policy.Cluster, key policy.PodKey) Response {
	pod := podOf(c, key)
	for _, mode := range []policy.Mode{policy.Enforce, policy.Audit} {
		var kills []policy.RuleRef
		for _, p := range c.WorkloadPolicies {
			if p.Mode != mode || !workloadSubject(c, pod, p) {
				continue
			}
			for i, r := range p.Escalation {
				if r.Action == policy.Kill && slices.Contains(r.Classes, policy.Privileges) {
					kills = append(kills, policy.RuleRef{Policy: p.Ref(), Index: i})
				}
			}
		}
		if len(kills) > 0 {
			return Response{policy.Kill, mode == policy.Audit, slices.MinFunc(kills, compareRules)}
		}
	}
	return Response{Action: policy.Ignore}
}

func compareRules(a, b policy.RuleRef) int {
	return cmp.Or(a.Policy.Compare(b.Policy), cmp.Compare(a.Index, b.Index))
}
