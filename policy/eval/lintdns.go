// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"

	"github.com/sluice-io/sluice/policy"
)

const dnsPort = 53

// allowsDNS says whether pods that p isolates may ask for names: by a rule of p,
// or of another policy, of the same layer or the Admin tier, for all of its pods.
func (l *linter) allowsDNS(p *linted) bool {
	for i := range l.policies {
		q := &l.policies[i]
		sameLayer := !q.isTiered() && (q.workload != nil) == (p.workload != nil) && q.isolates[policy.Egress] &&
			(q.workload == nil || q.workload.Mode == policy.Enforce || q.workload.Mode == p.workload.Mode)
		if (sameLayer || q.tier == policy.Admin) && coversSubject(q, p) &&
			slices.ContainsFunc(q.rules[policy.Egress], func(r policy.Rule) bool { return l.reachesDNS(q, r) }) {
			return true
		}
	}
	return false
}

// reachesDNS says whether a rule allows port 53 to anything.
func (l *linter) reachesDNS(p *linted, r policy.Rule) bool {
	if p.isTiered() && (r.Action != policy.Accept || r.Unknown) {
		return false
	}
	if len(r.Peers) > 0 && every(r.Peers, func(p policy.Peer) bool { return len(p.DomainNames) > 0 || peerContradiction(p) != "" }) {
		return false
	}
	return len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(port policy.Port) bool {
		if port.Name != "" {
			is := l.isDestination(p.ref.Namespace, r.Peers)
			return !l.knowsPods() || l.anyPod(func(pod policy.Pod) bool {
				return is(pod) && slices.ContainsFunc(namedPorts(pod, port), func(cp policy.ContainerPort) bool { return cp.Number == dnsPort })
			})
		}
		return coversPort(port, policy.Port{Protocol: policy.UDP, Number: dnsPort}) ||
			coversPort(port, policy.Port{Protocol: policy.TCP, Number: dnsPort})
	})
}
