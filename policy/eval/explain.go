// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Profile is what a pod may do, as its policies say.
type Profile struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Note says why no policy can select the pod, if none can.
	Note         string         `json:"note,omitempty"`
	Ingress      Side           `json:"ingress"`
	Egress       Side           `json:"egress"`
	Exec         Acts           `json:"exec"`
	Capabilities Acts           `json:"capabilities"`
	Files        []GuardedFiles `json:"files"` // in the order of policies
}

// Side is one direction of a Profile.
type Side struct {
	// Isolated names the policies that isolate the pod; what none of their rules
	// allows is denied. Where it is empty, what no rule decides is allowed.
	Isolated []PolicyName `json:"isolated"`
	// Audited names the Audit policies that would isolate the pod.
	Audited []PolicyName `json:"audited,omitempty"`
	// Rules in force, in the order of asking: Admin; of each isolating kind, rules
	// for particular processes and then the rest; Baseline where nothing isolates.
	// Rules of Audit policies stand with those of their kind, and are marked.
	Rules []EffectiveRule `json:"rules"`
	// Otherwise says what happens to what no rule decides.
	Otherwise string `json:"otherwise"`
}

// EffectiveRule is a rule in words. Empty lists stand for all.
type EffectiveRule struct {
	Layer     string            `json:"layer"` // as in LayerTrace
	Action    policy.RuleAction `json:"action"`
	Peers     []string          `json:"peers"`
	Ports     []string          `json:"ports"`
	Processes []string          `json:"processes"`
	// Audit rules are only reported; Note says that a rule is not what it seems.
	Audit bool     `json:"audit,omitempty"`
	Note  string   `json:"note,omitempty"`
	Rule  RuleName `json:"rule"`
}

// Explain says what a pod may do, and by which rules. A pod that the cluster does
// not hold is one without labels.
func Explain(c *policy.Cluster, pod policy.PodKey) Profile {
	out := Profile{
		Namespace: pod.Namespace, Name: pod.Name,
		Ingress: explain(c, pod, policy.Ingress), Egress: explain(c, pod, policy.Egress),
		Exec: explainExec(c, pod), Capabilities: explainCapabilities(c, pod), Files: explainFiles(c, pod),
	}
	if p, ok := c.Pods[pod]; !ok {
		out.Note = "no object describes this pod: it has no labels"
	} else if p.HostNetwork {
		out.Note = "a pod of the host's network: no policy selects it"
	}
	return out
}

func explain(c *policy.Cluster, pod policy.PodKey, d policy.Direction) Side {
	k := judge(c, policy.Flow{Pod: pod, Direction: d})
	out := Side{Isolated: []PolicyName{}, Rules: []EffectiveRule{}}
	for _, p := range slices.Concat(k.network, k.workload) {
		if p.audit {
			out.Audited = append(out.Audited, PolicyName(p.ref))
		} else {
			out.Isolated = append(out.Isolated, PolicyName(p.ref))
		}
	}
	out.add("Admin", k.admin, anyRule)
	out.add("NetworkPolicy", k.network, anyRule)
	out.add("WorkloadPolicy", k.workload, func(r policy.Rule) bool { return len(r.Processes) > 0 })
	out.add("WorkloadPolicy", k.workload, func(r policy.Rule) bool { return len(r.Processes) == 0 })
	if len(out.Isolated) == 0 {
		out.add("Baseline", k.baseline, anyRule)
	}
	out.Otherwise = otherwise(k.network, inForce(k.workload, false))
	return out
}

func anyRule(policy.Rule) bool { return true }

// add appends the rules that are wanted.
func (p *Side) add(layer string, policies []applied, wanted func(policy.Rule) bool) {
	for _, a := range policies {
		for i, r := range a.rules {
			if wanted(r) {
				p.Rules = append(p.Rules, effectiveRule(layer, a, i))
			}
		}
	}
}

func effectiveRule(layer string, a applied, i int) EffectiveRule {
	r := a.rules[i]
	out := EffectiveRule{
		Layer: layer, Action: policy.Accept, Audit: a.audit, Rule: ruleName(a.rule(i)),
		Peers:     words(r.Peers, func(p policy.Peer) string { return peerWords(a.ref.Namespace, p) }),
		Ports:     words(r.Ports, portWords),
		Processes: processWords(r.Processes),
	}
	if a.ref.Kind == policy.KindClusterNetworkPolicy {
		out.Action = effect(r)
	}
	switch {
	case r.Unknown && r.Action == policy.Accept:
		out.Note = "matches nothing: a peer has no field known here"
	case r.Unknown:
		out.Peers, out.Ports = []string{}, []string{}
		out.Note = "denies everything: a peer has no field known here"
	}
	return out
}

// otherwise says what happens to what no rule decides.
func otherwise(network, workload []applied) string {
	switch {
	case len(network) > 0 && len(workload) > 0:
		return "denied: a NetworkPolicy and a WorkloadPolicy must each allow it"
	case len(network) > 0:
		return "denied: a NetworkPolicy must allow it"
	case len(workload) > 0:
		return "denied: a WorkloadPolicy must allow it"
	}
	return "allowed: nothing isolates the pod in this direction"
}
