// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Severity of a Finding.
type Severity string

// An Error can never be meant; a Warning may be, or may pass when the cluster changes.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is something in a policy that has no effect, or one that is hardly meant.
type Finding struct {
	Policy    PolicyName `json:"policy"`
	Direction string     `json:"direction,omitempty"` // of a network rule; else empty
	Index     int        `json:"index"`               // of the rule in its direction; -1 for none
	Field     string     `json:"field"`               // as in spec.egress[0].to[1]
	Severity  Severity   `json:"severity"`
	Message   string     `json:"message"` // what is wrong and what to write instead
}

// Lint finds rules that can never match, policies that select nothing, rules that
// others cover, and risky ones. Of kinds that the cluster holds none of, such as
// Pods when it was read from a policy's file alone, it knows nothing and says
// nothing. The Findings come in the order of policies, directions and rules.
func Lint(c *policy.Cluster) []Finding {
	l := &linter{c: c, findings: []Finding{}}
	for _, p := range c.ClusterNetworkPolicies {
		l.policies = append(l.policies, linted{
			ref: p.Ref(), namespaces: &p.Namespaces, pods: p.Pods, rules: p.Rules, tier: p.Tier, priority: p.Priority,
		})
	}
	for _, p := range c.NetworkPolicies {
		l.policies = append(l.policies, linted{ref: p.Ref(), pods: p.Pods, isolates: p.Isolates, rules: p.Rules})
	}
	for _, p := range c.WorkloadPolicies {
		l.policies = append(l.policies, linted{
			ref: p.Ref(), namespaces: p.Namespaces, pods: p.Pods, isolates: p.Isolates, rules: p.Rules, workload: p,
		})
	}
	slices.SortStableFunc(l.policies, func(a, b linted) int { return a.ref.Compare(b.ref) })
	for i := range l.policies {
		l.lint(&l.policies[i])
	}
	return l.findings
}

// linted is a policy of any kind.
type linted struct {
	ref        policy.Ref
	namespaces *policy.Selector // nil: that of ref
	pods       policy.Selector
	isolates   [2]bool
	rules      [2][]policy.Rule
	tier       policy.Tier // of a ClusterNetworkPolicy
	priority   int
	workload   *policy.WorkloadPolicy // or nil
}

func (p *linted) isTiered() bool { return p.ref.Kind == policy.KindClusterNetworkPolicy }

type linter struct {
	c        *policy.Cluster
	policies []linted
	findings []Finding
}

// add reports on a policy as a whole.
func (l *linter) add(p *linted, field string, s Severity, format string, args ...any) {
	l.findings = append(l.findings, Finding{PolicyName(p.ref), "", -1, field, s, fmt.Sprintf(format, args...)})
}

func (l *linter) lint(p *linted) {
	l.subject(p)
	for _, d := range []policy.Direction{policy.Ingress, policy.Egress} {
		if !p.isTiered() && !p.isolates[d] {
			if len(p.rules[d]) > 0 {
				l.add(p, "spec.policyTypes", Error, "its %s rules are not in force: name the direction in policyTypes, or remove them", d)
			}
			continue
		}
		for i := range p.rules[d] {
			l.rule(at{p, d, i})
		}
	}
	if p.isolates[policy.Egress] && !l.allowsDNS(p) {
		l.add(p, "spec.egress", Warning, "isolates egress, and no rule allows DNS: allow 53/UDP and 53/TCP to the cluster's DNS, or names do not resolve")
	}
	if w := p.workload; w != nil && len(w.AllowedSources) > 0 && (w.Namespaces == nil || w.Mode != policy.Enforce) {
		l.add(p, "spec.allowedSources", Warning, "grants nothing: only a ClusterWorkloadPolicy in mode Enforce does")
	}
	if p.workload != nil {
		l.runtime(p)
	}
}

// subject looks at the selectors that say which pods the policy is for.
func (l *linter) subject(p *linted) {
	podsField, namespacesField := "spec.podSelector", "spec.namespaceSelector"
	if p.isTiered() {
		podsField, namespacesField = "spec.subject", "spec.subject"
	}
	if why := contradiction(p.pods); why != "" {
		l.add(p, podsField, Error, "selects nothing: %s", why)
		return
	}
	if p.namespaces != nil {
		if why := namespaceContradiction(*p.namespaces); why != "" {
			l.add(p, namespacesField, Error, "selects nothing: %s", why)
			return
		}
	}
	if l.knowsPods() && !l.anyPod(l.isSubject(p)) {
		l.add(p, podsField, Warning, "selects no pod of the cluster: compare %s with the pods' labels", p.subjectWords())
	}
}

func (p *linted) subjectWords() string {
	if p.namespaces != nil {
		return "namespaces " + selectorWords(*p.namespaces) + " and pods " + selectorWords(p.pods)
	}
	return "podSelector " + selectorWords(p.pods) + " in namespace " + p.ref.Namespace
}

// knowsPods says whether the cluster holds pods that policies could select.
func (l *linter) knowsPods() bool {
	return l.anyPod(func(pod policy.Pod) bool { return !pod.HostNetwork })
}

// isSubject says of a pod whether a policy is for it.
func (l *linter) isSubject(p *linted) func(policy.Pod) bool {
	return func(pod policy.Pod) bool {
		if p.namespaces != nil {
			return clusterSubject(l.c, pod, *p.namespaces, p.pods)
		}
		return subject(pod, p.ref.Namespace, p.pods)
	}
}

func (l *linter) anyPod(is func(policy.Pod) bool) bool {
	for _, pod := range l.c.Pods {
		if is(pod) {
			return true
		}
	}
	return false
}
