// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// at is a rule's place.
type at struct {
	p *linted
	d policy.Direction
	i int
}

func (a at) rule() policy.Rule { return a.p.rules[a.d][a.i] }

// field is the rule's path, or below it.
func (a at) field(below string) string {
	allow := ""
	if a.p.workload != nil {
		allow = ".allow"
	}
	return fmt.Sprintf("spec.%s%s[%d]%s", a.d, allow, a.i, below)
}

// peerField names the j-th peer. One peer of a ClusterNetworkPolicy may hold
// several networks, which are peers of their own here: there it names them all.
func (a at) peerField(j int) string {
	name := ".from"
	if a.d == policy.Egress {
		name = ".to"
	}
	if a.p.isTiered() {
		return a.field(name)
	}
	return a.field(fmt.Sprintf("%s[%d]", name, j))
}

func (a at) portField(j int) string {
	if a.p.isTiered() {
		return a.field(fmt.Sprintf(".protocols[%d]", j))
	}
	return a.field(fmt.Sprintf(".ports[%d]", j))
}

func (l *linter) addRule(a at, field string, s Severity, format string, args ...any) {
	l.findings = append(l.findings, Finding{
		PolicyName(a.p.ref), a.d.String(), a.i, field, s, fmt.Sprintf(format, args...),
	})
}

// rule looks at one rule of a direction in force.
func (l *linter) rule(a at) {
	r := a.rule()
	if r.Unknown {
		effect := "denies everything"
		if r.Action == policy.Accept {
			effect = "matches nothing"
		}
		l.addRule(a, a.peerField(0), Error, "a peer has no field known here, so the rule %s: write namespaces, pods, nodes, networks or domainNames", effect)
	} else {
		for j, p := range r.Peers {
			l.peer(a, j, p)
		}
		for j, p := range r.Ports {
			l.port(a, j, p)
		}
	}
	for j, p := range r.Processes {
		l.process(a, j, p)
	}
	l.covered(a)
}

// peer looks for peers that match nothing.
func (l *linter) peer(a at, j int, p policy.Peer) {
	field, own := a.peerField(j), a.p.ref.Namespace
	if why := peerContradiction(p); why != "" {
		l.addRule(a, field, Error, "matches nothing: %s", why)
		return
	}
	switch {
	case isPodSelector(p) && own == "" && p.Namespaces == nil && (p.ServiceAccounts == nil || p.ServiceAccounts.Namespaces == nil):
		l.addRule(a, field, Error, "matches nothing: a cluster-scoped policy has no namespace of its own; add a namespaceSelector")
	case isPodSelector(p):
		if l.knowsPods() && !l.anyPod(func(pod policy.Pod) bool { return selectsPod(l.c, own, p, pod) }) {
			l.addRule(a, field, Warning, "%s selects no pod of the cluster: compare it with the pods' and namespaces' labels and accounts", peerWords(own, p))
		}
	case p.Service != nil:
		if _, ok := l.c.Services[*p.Service]; !ok && len(l.c.Services) > 0 {
			l.addRule(a, field, Warning, "%s does not exist: create it, or name another", peerWords(own, p))
		}
	case p.Entity == policy.KubeAPIServer:
		if len(l.c.EndpointSlices) > 0 && !l.hasSlice(apiServer) {
			l.addRule(a, field, Warning, "entity KubeAPIServer has no address: no EndpointSlice of Service default/kubernetes is known")
		}
	case p.Nodes != nil:
		if len(l.c.Nodes) > 0 && !l.selectsNode(*p.Nodes) {
			l.addRule(a, field, Warning, "%s selects no node of the cluster: compare it with the nodes' labels", peerWords(own, p))
		}
	case len(p.DomainNames) > 0:
		l.addRule(a, field, Warning, "domainNames match nothing in this version: name the addresses with %s", a.networksWord())
	}
}

func (a at) networksWord() string {
	if a.p.isTiered() {
		return "networks"
	}
	return "ipBlock"
}

func (l *linter) hasSlice(service policy.ObjectKey) bool {
	for _, s := range l.c.EndpointSlices {
		if s.Namespace == service.Namespace && s.Service == service.Name && len(s.IPs) > 0 {
			return true
		}
	}
	return false
}

func (l *linter) selectsNode(s policy.Selector) bool {
	for _, n := range l.c.Nodes {
		if selects(s, n.Labels) {
			return true
		}
	}
	return false
}

// port looks for port names that no pod has.
func (l *linter) port(a at, j int, p policy.Port) {
	if p.Name == "" || !l.knowsPods() {
		return
	}
	is, whose := l.isSubject(a.p), "the policy is for"
	if a.d == policy.Egress {
		is, whose = l.isDestination(a.p.ref.Namespace, a.rule().Peers), "the rule's peers select"
	}
	if !l.anyPod(is) {
		return // said of the selectors
	}
	if !l.anyPod(func(pod policy.Pod) bool { return is(pod) && len(namedPorts(pod, p)) > 0 }) {
		l.addRule(a, a.portField(j), Warning, "matches nothing: no pod that %s has a %s: name the container port so, or write its number", whose, portWords(p))
	}
}

// isDestination says of a pod whether an egress rule with these peers means it by
// a port name.
func (l *linter) isDestination(own string, peers []policy.Peer) func(policy.Pod) bool {
	return func(pod policy.Pod) bool {
		return !pod.HostNetwork && slices.ContainsFunc(pod.IPs, func(ip netip.Addr) bool {
			q := question{c: l.c, Flow: policy.Flow{Direction: policy.Egress, Peer: ip}, at: []policy.Pod{pod}}
			return len(q.destinations(own, peers)) > 0
		})
	}
}

// process looks for paths that no resolved path of a program equals, and for programs
// that may not run.
func (l *linter) process(a at, j int, p policy.Process) {
	if path.IsAbs(p.Path) && path.Clean(p.Path) == p.Path && p.Path != "/" && !strings.ContainsAny(p.Path, "*\x00") {
		if a.p.workload != nil && !l.mayRun(a.p, p) {
			l.addRule(a, a.field(fmt.Sprintf(".processes[%d]", j)), Warning, neverRuns, p.Path)
		}
		return
	}
	severity := Error
	if a.p.workload != nil && a.p.workload.Mode == policy.Audit {
		severity = Warning
	}
	l.addRule(a, a.field(fmt.Sprintf(".processes[%d].path", j)), severity,
		"%q matches no program: write an absolute path without //, ., .. and patterns, such as /usr/bin/curl", p.Path)
}

// covered reports a rule that has no effect beside another one: in a tier an
// earlier one that matches all that it matches, elsewhere one of the same policy.
func (l *linter) covered(a at) {
	r := a.rule()
	if r.Unknown && r.Action == policy.Accept {
		return
	}
	if !a.p.isTiered() {
		for i, other := range a.p.rules[a.d] {
			if i != a.i && coversRule(other, r) && (i < a.i || !coversRule(r, other)) {
				l.addRule(a, a.field(""), Warning, "redundant: rule %d of this policy allows all that it allows; remove it", i)
				return
			}
		}
		return
	}
	for i := range l.policies {
		p := &l.policies[i]
		if !p.isTiered() || p.tier != a.p.tier || !coversSubject(p, a.p) {
			continue
		}
		for j, other := range p.rules[a.d] {
			if before(p, j, a) && coversRule(other, r) {
				l.addRule(a, a.field(""), Error, "never reached: %s matches all that it matches, before it; move it up, give its policy a lower priority number, or remove it", RuleName{PolicyName(p.ref), j})
				return
			}
		}
	}
}
