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
	active := im.RuleSets[q.ruleSet].Active[q.Direction]
	if active[Admin] {
		if v, final := interpretOrdered(im, q, Admin); final {
			return v
		}
	}
	var v policy.Verdict
	// WorkloadPolicies are named first, for denials and for rules.
	for _, layer := range []Layer{WorkloadPolicies, NetworkPolicies} {
		if !active[layer] {
			continue
		}
		grant := grantOf(im, q, layer)
		rule := ruleForProcess(im, grant, q)
		switch {
		case rule == 0 && layer == WorkloadPolicies:
			return policy.Verdict{
				Reason: policy.ReasonDefaultDeny, Kind: policy.KindWorkloadPolicy,
				Errno: im.RuleSets[q.ruleSet].Errno[q.Direction],
			}
		case rule == 0:
			return policy.Verdict{Reason: policy.ReasonDefaultDeny, Kind: policy.KindNetworkPolicy}
		case !v.Allowed:
			v = policy.Verdict{Allowed: true, Reason: policy.ReasonPolicy, Rule: im.Rules[rule]}
		}
	}
	if v.Allowed {
		return v
	}
	if active[Baseline] {
		if v, final := interpretOrdered(im, q, Baseline); final {
			return v
		}
	}
	return policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
}

// ruleForProcess is the rule by which a grant allows the process behind a flow.
func ruleForProcess(im *Image, g Grant, q question) uint32 {
	ids := []uint32{q.program}
	if g.Patterns && q.Process != "" {
		patterns := patternsOf(im, q.Process)
		ids = append(ids, patterns[:]...)
	}
	for _, id := range ids {
		if rule, ok := im.Processes[ProcessKey{g.Processes, id}]; ok && id != 0 {
			return rule
		}
	}
	return g.Rule
}

// interpretOrdered asks an ordered layer; Pass and no rule are not final.
func interpretOrdered(im *Image, q question, layer Layer) (v policy.Verdict, final bool) {
	grant := grantOf(im, q, layer)
	v = policy.Verdict{Allowed: grant.Verdict == Accept, Reason: policy.ReasonPolicy, Rule: im.Rules[grant.Rule]}
	return v, grant.Verdict != Pass
}

func grantOf(im *Image, q question, layer Layer) Grant {
	set, ok := im.Edges[Edge{im.RuleSets[q.ruleSet].Lists[q.Direction][layer], classOf(im, q.Peer)}]
	if !ok {
		set = im.RuleSets[q.ruleSet].AnyPeer[q.Direction][layer]
	}
	for bits := 16; bits >= 0; bits-- {
		if set.Lengths&(1<<bits) == 0 {
			continue
		}
		if filter := set.Lengths >> 17 & 0x3fff; bits == 16 && filter>>((uint32(q.Port)*31+uint32(q.Protocol))%14)&1 == 0 {
			continue
		}
		key := PortKey{set.ID, q.Protocol, uint8(bits), q.Port >> (16 - bits) << (16 - bits)}
		if grant, ok := im.Ports[key]; ok {
			return grant
		}
	}
	if set.Lengths>>31 == 1 {
		return Grant{}
	}
	return im.Ports[PortKey{Set: set.ID}]
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
