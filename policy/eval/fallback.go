// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// WithoutLSM is the cluster as a node judges acts in it that cannot deny, but kill: "what
// a rule becomes that this node cannot give". The Deny of a policy that falls back to
// Kill is Kill there; every other one stays, and stands for an act that is observed.
func WithoutLSM(c *policy.Cluster) *policy.Cluster {
	out := *c
	out.WorkloadPolicies = nil
	for _, p := range c.WorkloadPolicies {
		if p.Fallback == policy.FallbackKill {
			p = killing(*p)
		}
		out.WorkloadPolicies = append(out.WorkloadPolicies, p)
	}
	return &out
}

// killing is a policy that kills where it denied.
func killing(p policy.WorkloadPolicy) *policy.WorkloadPolicy {
	if p.Exec != nil && p.Exec.Action == policy.Prevent {
		exec := *p.Exec
		exec.Action, p.Exec = policy.Kill, &exec
	}
	if p.Capabilities != nil && p.Capabilities.Action == policy.Prevent {
		p.Capabilities = &policy.Capabilities{Allow: p.Capabilities.Allow, Action: policy.Kill}
	}
	p.Files = slices.Clone(p.Files)
	for i := range p.Files {
		if p.Files[i].Action == policy.Prevent {
			p.Files[i].Action = policy.Kill
		}
	}
	return &p
}

// ClosedBy names the policies for whose sake such a node closes a pod, in order: those
// in force that ask for Deny and fall back to Close.
func ClosedBy(c *policy.Cluster, pod policy.PodKey) []policy.Ref {
	var out []policy.Ref
	for _, p := range WorkloadPoliciesOf(c, pod) {
		if p.Mode == policy.Enforce && p.Fallback == policy.Close && asksDeny(p) {
			out = append(out, p.Ref())
		}
	}
	return out
}
