// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// question is a flow as the kernel sees it.
type question struct {
	ruleSet uint32
	policy.Flow
	program uint32
	own     []netip.Addr // the pod's addresses
}

// interpret answers a question as the comment of Image says.
func interpret(im *Image, q question) policy.Verdict {
	if q.Peer.IsLoopback() || slices.Contains(q.own, q.Peer) {
		return policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
	}
	v := interpretOnce(im, q)
	if audit := im.RuleSets[q.ruleSet].Audit; v.Allowed && audit != 0 {
		q.ruleSet = audit
		v.AuditDenied = !interpretOnce(im, q).Allowed
	}
	return v
}

func interpretOnce(im *Image, q question) policy.Verdict {
	v := policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
	set, class := im.RuleSets[q.ruleSet], classOf(im, q.Peer)
	for layer, isolated := range set.Isolated[q.Direction] {
		if !isolated {
			continue
		}
		ports, ok := im.Edges[Edge{q.ruleSet, class, q.Direction, Layer(layer)}]
		if !ok {
			ports = set.AnyPeer[q.Direction][layer]
		}
		grant := grantOf(im, ports, q.Protocol, q.Port)
		rule, ok := im.Processes[ProcessKey{grant.Processes, q.program}]
		if !ok {
			rule = grant.Rule
		}
		if rule == 0 {
			v.Allowed, v.Rule, v.Reason = false, policy.RuleRef{}, policy.ReasonDefaultDeny
			v.Errno = Layer(layer) == WorkloadPolicies && set.Errno[q.Direction]
		} else if v.Allowed {
			v.Rule, v.Reason = im.Rules[rule], policy.ReasonPolicy
		}
	}
	return v
}

func classOf(im *Image, addr netip.Addr) uint32 {
	if class, ok := im.Peers[addr]; ok {
		return class
	}
	longest, class := -1, ClassNone
	for p, c := range im.Prefixes {
		if p.Contains(addr) && p.Bits() > longest {
			longest, class = p.Bits(), c
		}
	}
	return class
}

func grantOf(im *Image, set uint32, proto policy.Protocol, port uint16) Grant {
	for _, key := range []PortKey{{set, proto, port}, {set, proto, 0}, {set, 0, 0}} {
		if grant, ok := im.Ports[key]; ok {
			return grant
		}
	}
	return Grant{}
}
