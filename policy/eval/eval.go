// SPDX-License-Identifier: Apache-2.0

// Package eval answers flows and acts from the policy objects themselves, in the
// words of the NetworkPolicy and ClusterNetworkPolicy APIs' documentation and of
// Sluice's own contract. It is the oracle of the compiler's and the datapath's tests: slow
// and obvious, and it shares nothing with them but the types of package policy.
//
// Trace, Explain and Lint say in words what Judge goes by.
package eval

import (
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Judge answers a flow. Addresses are unmapped. A pod that the cluster does not
// hold is one without labels, ports and addresses, as a pod is that CNI ADD names
// and no manifest describes.
//
// What other layers decide is not asked here: replies, related ICMP errors and
// the node's own traffic are the datapath's.
func Judge(c *policy.Cluster, f policy.Flow) policy.Verdict {
	return judge(c, f).verdict()
}

// verdict is what is in force, and whether it would stay allowed if every Audit
// policy were enforced.
func (k *judged) verdict() policy.Verdict {
	v := k.decide(false)
	v.AuditDenied = v.Allowed && !k.decide(true).Allowed
	return v
}

// judged is a flow with the policies that it is asked of: those that select the
// pod in the flow's direction, in the order of their rules.
type judged struct {
	question
	admin, network, workload, baseline []applied
}

func judge(c *policy.Cluster, f policy.Flow) *judged {
	q := newQuestion(c, f)
	return &judged{
		question: q,
		admin:    q.tier(policy.Admin),
		network:  q.networkPolicies(),
		workload: q.workloadPolicies(),
		baseline: q.tier(policy.Baseline),
	}
}

// decide goes through the tiers, with Audit policies left out or taken as enforced.
func (k *judged) decide(enforceAudit bool) policy.Verdict {
	noPolicy := policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
	if k.neverJudged() {
		return noPolicy
	}
	// "If Admin tier has made a final decision (Accept or Deny) on a connection,
	// then no further evaluation is done."
	if rule, action := firstMatch(k.admin); action == policy.Accept || action == policy.Deny {
		return policy.Verdict{Allowed: action == policy.Accept, Reason: policy.ReasonPolicy, Rule: rule}
	}
	workload := inForce(k.workload, enforceAudit)
	if len(k.network) > 0 || len(workload) > 0 {
		return each(k.network, workload)
	}
	// "Baseline tier is a cluster-wide policy that can be overridden by the
	// v1.NetworkPolicy."
	if rule, action := firstMatch(k.baseline); action == policy.Accept || action == policy.Deny {
		return policy.Verdict{Allowed: action == policy.Accept, Reason: policy.ReasonPolicy, Rule: rule}
	}
	// "If a given connection wasn't allowed or denied by any of the tiers, the
	// default kubernetes policy is applied, which says that all pods can
	// communicate with each other."
	return noPolicy
}

// neverJudged: "Loopback and a pod's own address are never judged, at any point."
func (q *question) neverJudged() bool {
	return q.Peer.IsLoopback() || slices.Contains(q.pod.IPs, q.Peer)
}

// firstMatch finds the rule that decides in a tier of ClusterNetworkPolicies, and
// what it does; "" if none matches.
func firstMatch(policies []applied) (policy.RuleRef, policy.RuleAction) {
	for _, p := range policies {
		for i, r := range p.rules {
			if p.misses[i] == nothing {
				return p.rule(i), effect(r)
			}
		}
	}
	return policy.RuleRef{}, ""
}

// effect is what a ClusterNetworkPolicy's rule does. "For 'Deny' and 'Pass' rules,
// 'fail closed' means: 'treat the rule as a "Deny all" rule'."
func effect(r policy.Rule) policy.RuleAction {
	if r.Unknown && r.Action != policy.Accept {
		return policy.Deny
	}
	return r.Action
}

// each: "Between the two kinds a pod selected by both, in that direction, needs an
// allow of each." At least one of them isolates the pod.
func each(network, workload []applied) policy.Verdict {
	networkRule, networkAllows := firstAllow(network)
	workloadRule, workloadAllows := firstAllow(workload)
	switch {
	case len(workload) > 0 && !workloadAllows:
		return policy.Verdict{Reason: policy.ReasonDefaultDeny, Kind: policy.KindWorkloadPolicy, Errno: anyErrno(workload)}
	case len(network) > 0 && !networkAllows:
		return policy.Verdict{Reason: policy.ReasonDefaultDeny, Kind: policy.KindNetworkPolicy}
	case len(workload) > 0:
		return policy.Verdict{Allowed: true, Reason: policy.ReasonPolicy, Rule: workloadRule}
	}
	return policy.Verdict{Allowed: true, Reason: policy.ReasonPolicy, Rule: networkRule}
}

// firstAllow finds the rule that allows a flow: rules for particular processes
// first, then rules for every process.
func firstAllow(policies []applied) (policy.RuleRef, bool) {
	for _, forProcesses := range []bool{true, false} {
		for _, p := range policies {
			for i, r := range p.rules {
				if (len(r.Processes) > 0) == forProcesses && p.misses[i] == nothing {
					return p.rule(i), true
				}
			}
		}
	}
	return policy.RuleRef{}, false
}

func anyErrno(policies []applied) bool {
	return slices.ContainsFunc(policies, func(p applied) bool { return p.errno })
}
