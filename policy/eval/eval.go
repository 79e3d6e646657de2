// SPDX-License-Identifier: Apache-2.0

// Package eval answers flows from the policy objects themselves, in the words of
// the NetworkPolicy API's documentation and of Sluice's own contract. It is the
// oracle of the compiler's and the datapath's tests: slow and obvious, and it
// shares nothing with them but the types of package policy.
package eval

import (
	"cmp"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Judge answers a flow. Addresses are unmapped. A pod that the cluster does not
// hold is one without labels and addresses, as a pod is that CNI ADD names and no
// manifest describes.
//
// What other layers decide is not asked here: replies, related ICMP errors and
// the node's own traffic are the datapath's.
func Judge(c *policy.Cluster, f policy.Flow) policy.Verdict {
	v := judge(c, f, false)
	v.AuditDenied = v.Allowed && !judge(c, f, true).Allowed
	return v
}

// judge answers a flow with Audit policies left out, or taken as enforced.
func judge(c *policy.Cluster, f policy.Flow, enforceAudit bool) policy.Verdict {
	pod := podOf(c, f.Pod)
	// "Loopback and a pod's own address are never judged, at any point."
	if f.Peer.IsLoopback() || slices.Contains(pod.IPs, f.Peer) {
		return policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
	}

	network := networkPolicies(c, pod, f.Direction)
	workload := workloadPolicies(c, pod, f.Direction, enforceAudit)
	networkRule, networkAllows := firstAllow(c, network, f)
	workloadRule, workloadAllows := firstAllow(c, workload, f)

	// "A pod selected by both, in that direction, needs an allow of each."
	switch {
	case len(network) > 0 && !networkAllows, len(workload) > 0 && !workloadAllows:
		return policy.Verdict{Reason: policy.ReasonDefaultDeny, Errno: !workloadAllows && anyErrno(workload)}
	case len(workload) > 0:
		return policy.Verdict{Allowed: true, Reason: policy.ReasonPolicy, Rule: workloadRule}
	case len(network) > 0:
		return policy.Verdict{Allowed: true, Reason: policy.ReasonPolicy, Rule: networkRule}
	}
	return policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
}

// podOf is the pod by that name, or one of which only the name is known.
func podOf(c *policy.Cluster, key policy.PodKey) policy.Pod {
	if pod, ok := c.Pods[key]; ok {
		return pod
	}
	return policy.Pod{PodKey: key}
}

// applied is a policy that isolates the judged pod in the flow's direction.
type applied struct {
	ref   policy.Ref
	rules []policy.Rule // of that direction
	errno bool
}

// networkPolicies are the NetworkPolicies that isolate a pod in a direction:
// they stand in its namespace, their podSelector selects it and their
// policyTypes name the direction. The rules of another direction are not in
// force, whether written or not.
func networkPolicies(c *policy.Cluster, pod policy.Pod, d policy.Direction) []applied {
	var out []applied
	for _, p := range c.NetworkPolicies {
		if p.Isolates[d] && subject(pod, p.Namespace, p.Pods) {
			out = append(out, applied{ref: p.Ref(), rules: p.Rules[d]})
		}
	}
	return inOrder(out)
}

// workloadPolicies is networkPolicies for WorkloadPolicies. "An Audit policy
// isolates nothing and allows nothing", but in the second judgement.
func workloadPolicies(c *policy.Cluster, pod policy.Pod, d policy.Direction, enforceAudit bool) []applied {
	var out []applied
	for _, p := range c.WorkloadPolicies {
		inForce := p.Mode == policy.Enforce || enforceAudit
		if inForce && p.Isolates[d] && subject(pod, p.Namespace, p.Pods) {
			out = append(out, applied{p.Ref(), p.Rules[d], p.DenyResponse == policy.Errno})
		}
	}
	return inOrder(out)
}

func anyErrno(policies []applied) bool {
	return slices.ContainsFunc(policies, func(p applied) bool { return p.errno })
}

// inOrder sorts policies in the order in which the first of several rules is named.
func inOrder(policies []applied) []applied {
	slices.SortFunc(policies, func(a, b applied) int {
		return cmp.Or(cmp.Compare(a.ref.Namespace, b.ref.Namespace), cmp.Compare(a.ref.Name, b.ref.Name))
	})
	return policies
}

// firstAllow finds the rule that allows a flow: rules for particular processes
// first, then rules for every process.
func firstAllow(c *policy.Cluster, policies []applied, f policy.Flow) (policy.RuleRef, bool) {
	for _, forProcesses := range []bool{true, false} {
		for _, p := range policies {
			for i, r := range p.rules {
				if (len(r.Processes) > 0) == forProcesses && allows(c, p.ref.Namespace, r, f) {
					return policy.RuleRef{Policy: p.ref, Index: i}, true
				}
			}
		}
	}
	return policy.RuleRef{}, false
}

// allows says whether a rule of a policy in namespace own allows a flow: its
// peer, its port and its process must match, each of them.
func allows(c *policy.Cluster, own string, r policy.Rule, f policy.Flow) bool {
	return matchesPeers(c, own, r.Peers, f) && matchesPorts(r.Ports, f) && matchesProcesses(r.Processes, f)
}

// matchesPeers: "Items in this list are combined using a logical OR operation. If
// this field is empty or missing, this rule matches all sources (destinations)."
func matchesPeers(c *policy.Cluster, own string, peers []policy.Peer, f policy.Flow) bool {
	if len(peers) == 0 {
		return true
	}
	return slices.ContainsFunc(peers, func(p policy.Peer) bool { return matchesPeer(c, own, p, f.Peer) })
}

// matchesPorts: "Each item in this list is combined using a logical OR. If this
// field is empty or missing, this rule matches all ports (traffic not restricted
// by port)." With ports, only their protocols match (so no ICMP).
func matchesPorts(ports []policy.Port, f policy.Flow) bool {
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(p policy.Port) bool {
		return (p.Protocol == policy.AnyProtocol || p.Protocol == f.Protocol) &&
			(p.Number == 0 || p.Number == f.Port)
	})
}

// matchesProcesses: the flow's program is one of those named, or none is.
func matchesProcesses(processes []policy.Process, f policy.Flow) bool {
	if len(processes) == 0 {
		return true
	}
	return f.Process != "" && slices.Contains(processes, policy.Process{Path: f.Process})
}
