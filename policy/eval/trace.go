// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"

	"github.com/sluice-io/sluice/policy"
)

// PolicyName is a policy.Ref as JSON; the two convert into each other.
type PolicyName struct {
	Kind      policy.Kind `json:"kind"`
	Namespace string      `json:"namespace,omitempty"`
	Name      string      `json:"name"`
}

// String is that of policy.Ref.
func (n PolicyName) String() string { return policy.Ref(n).String() }

// RuleName is a policy.RuleRef as JSON.
type RuleName struct {
	PolicyName
	Index int `json:"index"` // from 0, within its direction
}

// String is "Kind/namespace/name[index]".
func (n RuleName) String() string { return fmt.Sprintf("%s[%d]", n.PolicyName, n.Index) }

func ruleName(r policy.RuleRef) RuleName { return RuleName{PolicyName(r.Policy), r.Index} }

// Explanation is a verdict with the way to it.
type Explanation struct {
	Verdict policy.Verdict `json:"-"`
	Answer  string         `json:"verdict"` // allowed, denied or audit-denied
	Reason  policy.Reason  `json:"reason"`
	Rule    *RuleName      `json:"rule"` // nil unless a rule decides
	Why     string         `json:"why"`  // the verdict in one sentence
	Layers  []LayerTrace   `json:"layers"`
}

// Outcome is what came of asking a layer.
type Outcome string

// The outcomes. A layer that accepts or denies has decided; one that allows leaves
// it to the other kind as well; the rest go on with the next layer.
const (
	Accepted    Outcome = "accept"
	Denied      Outcome = "deny"
	Passed      Outcome = "pass"         // a Pass rule matches
	NoMatch     Outcome = "no-match"     // no rule matches, or there is none
	Allowed     Outcome = "allow"        // a rule of a policy that isolates
	DefaultDeny Outcome = "default-deny" // isolated, and no rule allows it
	NotIsolated Outcome = "not-isolated" // no policy isolates the pod
	NotAsked    Outcome = "not-asked"    // see Why
)

// LayerTrace is one layer, in the order of asking: Admin, NetworkPolicy,
// WorkloadPolicy, Baseline.
type LayerTrace struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	// Why it was not asked.
	Why string `json:"why,omitempty"`
	// Policies that select the pod in the flow's direction, in order; of a layer
	// that was not asked too.
	Policies []PolicyTrace `json:"policies"`
}

// PolicyTrace is one policy and its rules of the flow's direction.
type PolicyTrace struct {
	PolicyName
	Priority *int `json:"priority,omitempty"` // of a ClusterNetworkPolicy
	// Audit policies are only reported: none of their rules decides.
	Audit bool        `json:"audit,omitempty"`
	Rules []RuleTrace `json:"rules"`
}

// RuleTrace is one rule.
type RuleTrace struct {
	Index   int               `json:"index"`
	Action  policy.RuleAction `json:"action"` // Accept for rules that only allow
	Matched bool              `json:"matched"`
	// Decided is true for the one rule of the layer that is named for its outcome.
	Decided bool `json:"decided,omitempty"`
	// Why it did not match: the first of peer, port, process that did not.
	Why string `json:"why,omitempty"`
}

// Trace answers a flow as Judge does, and says why.
func Trace(c *policy.Cluster, f policy.Flow) Explanation {
	k := judge(c, f)
	v := k.verdict()
	e := Explanation{Verdict: v, Answer: answer(v), Reason: v.Reason, Why: k.sentence(v), Layers: k.layers()}
	if v.Reason == policy.ReasonPolicy {
		name := ruleName(v.Rule)
		e.Rule = &name
	}
	return e
}

func answer(v policy.Verdict) string {
	switch {
	case v.AuditDenied:
		return "audit-denied"
	case v.Allowed:
		return "allowed"
	}
	return "denied"
}

// layers goes through the layers as decide does, Audit policies left out.
func (k *judged) layers() []LayerTrace {
	admin, final := k.traceTier("Admin", k.admin)
	network := k.traceKind("NetworkPolicy", k.network)
	workload := k.traceKind("WorkloadPolicy", k.workload)
	baseline, _ := k.traceTier("Baseline", k.baseline)
	switch {
	case k.neverJudged():
		for _, l := range []*LayerTrace{&admin, &network, &workload, &baseline} {
			l.skip("loopback and a pod's own address are never judged")
		}
	case final:
		for _, l := range []*LayerTrace{&network, &workload, &baseline} {
			l.skip("the Admin tier has decided")
		}
	case network.Outcome != NotIsolated:
		baseline.skip(fmt.Sprintf("a NetworkPolicy isolates the pod on %s", k.Direction))
	case workload.Outcome != NotIsolated:
		baseline.skip(fmt.Sprintf("a WorkloadPolicy isolates the pod on %s", k.Direction))
	}
	return []LayerTrace{admin, network, workload, baseline}
}

// skip makes a layer one that was not asked.
func (l *LayerTrace) skip(why string) {
	l.Outcome, l.Why = NotAsked, why
	for _, p := range l.Policies {
		for i := range p.Rules {
			p.Rules[i].Decided = false
		}
	}
}

func (k *judged) traceTier(name string, policies []applied) (layer LayerTrace, final bool) {
	rule, action := firstMatch(policies)
	outcome := map[policy.RuleAction]Outcome{
		policy.Accept: Accepted, policy.Deny: Denied, policy.Pass: Passed, "": NoMatch,
	}[action]
	layer = LayerTrace{Name: name, Outcome: outcome, Policies: k.tracePolicies(policies, rule)}
	for i := range layer.Policies {
		layer.Policies[i].Priority = &policies[i].priority
	}
	return layer, outcome == Accepted || outcome == Denied
}

func (k *judged) traceKind(name string, policies []applied) LayerTrace {
	isolating := inForce(policies, false)
	rule, allows := firstAllow(isolating)
	outcome := NotIsolated
	switch {
	case allows:
		outcome = Allowed
	case len(isolating) > 0:
		outcome = DefaultDeny
	}
	return LayerTrace{Name: name, Outcome: outcome, Policies: k.tracePolicies(policies, rule)}
}

func (k *judged) tracePolicies(policies []applied, decided policy.RuleRef) []PolicyTrace {
	out := []PolicyTrace{}
	for _, p := range policies {
		t := PolicyTrace{PolicyName: PolicyName(p.ref), Audit: p.audit, Rules: []RuleTrace{}}
		for i, r := range p.rules {
			action := policy.Accept
			if p.ref.Kind == policy.KindClusterNetworkPolicy {
				action = effect(r)
			}
			t.Rules = append(t.Rules, RuleTrace{
				Index: i, Action: action, Matched: p.misses[i] == nothing,
				Decided: p.rule(i) == decided, Why: k.why(p.ref.Namespace, r, p.misses[i]),
			})
		}
		out = append(out, t)
	}
	return out
}

// sentence is a verdict in words.
func (k *judged) sentence(v policy.Verdict) string {
	var out string
	switch {
	case v.Reason == policy.ReasonPolicy && v.Allowed:
		out = fmt.Sprintf("allowed by %s", ruleName(v.Rule))
	case v.Reason == policy.ReasonPolicy:
		out = fmt.Sprintf("denied by %s", ruleName(v.Rule))
	case v.Reason == policy.ReasonDefaultDeny:
		out = fmt.Sprintf("denied: isolated on %s, and no %s allows it", k.Direction, v.Kind)
	case k.neverJudged():
		out = "allowed: loopback and a pod's own address are never judged"
	case k.pod.HostNetwork:
		out = "allowed: no policy selects a pod of the host's network"
	default:
		out = fmt.Sprintf("allowed: no policy isolates the pod on %s or denies it", k.Direction)
	}
	if v.AuditDenied {
		out += "; would be denied if the Audit policies were enforced"
	}
	return out
}
