// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/sluice-io/sluice/policy"
)

// randomPeers are up to three peers, or none.
func randomPeers(r *rand.Rand, peer func() policy.Peer) []policy.Peer {
	if r.IntN(4) == 0 {
		return nil
	}
	return somePeers(r, peer)
}

func somePeers(r *rand.Rand, peer func() policy.Peer) []policy.Peer {
	var out []policy.Peer
	for range 1 + r.IntN(3) {
		out = append(out, peer())
	}
	return out
}

func (c *Case) randomNetworkPolicy(r *rand.Rand, i int) *policy.NetworkPolicy {
	p := &policy.NetworkPolicy{
		Namespace: c.randomNamespaceName(r),
		Name:      fmt.Sprintf("np%d", i),
		Pods:      *randomPods(r),
	}
	for d := range p.Isolates {
		p.Isolates[d] = r.IntN(3) > 0
		// Rules of a direction that policyTypes does not name are not in force.
		for range r.IntN(5) {
			p.Rules[d] = append(p.Rules[d], policy.Rule{
				Peers: randomPeers(r, func() policy.Peer { return c.networkPeer(r) }),
				Ports: randomPorts(r),
			})
		}
	}
	return p
}

// randomClusterNetworkPolicy has one of a few priorities, so that some are equal.
func (c *Case) randomClusterNetworkPolicy(r *rand.Rand, i int) *policy.ClusterNetworkPolicy {
	p := &policy.ClusterNetworkPolicy{
		Name:       fmt.Sprintf("cnp%d", i),
		Tier:       pick(r, policy.Admin, policy.Baseline),
		Priority:   pick(r, 0, 10, 10, 1000),
		Namespaces: *c.randomNamespaces(r),
		Pods:       *randomPods(r),
	}
	for d := range p.Rules {
		for range r.IntN(4) {
			p.Rules[d] = append(p.Rules[d], c.clusterRule(r, policy.Direction(d)))
		}
	}
	return p
}

func (c *Case) clusterRule(r *rand.Rand, d policy.Direction) policy.Rule {
	rule := policy.Rule{
		Action: pick(r, policy.Accept, policy.Deny, policy.Pass),
		Ports:  clusterPorts(r),
	}
	rule.Peers = somePeers(r, func() policy.Peer { return c.clusterPeer(r, d, rule.Action) })
	if r.IntN(20) == 0 {
		// What is known of the rule is not to be believed.
		rule.Unknown = true
	}
	return rule
}

// randomWorkloadPolicy is a ClusterWorkloadPolicy now and then.
func (c *Case) randomWorkloadPolicy(r *rand.Rand, i int) *policy.WorkloadPolicy {
	p := &policy.WorkloadPolicy{
		Namespace:    c.randomNamespaceName(r),
		Name:         fmt.Sprintf("wp%d", i),
		Pods:         *randomPods(r),
		Mode:         pick(r, policy.Enforce, policy.Enforce, policy.Audit),
		DenyResponse: pick(r, policy.Errno, policy.Drop),
	}
	cluster := r.IntN(3) == 0
	if cluster {
		p.Namespace, p.Namespaces = "", c.randomNamespaces(r)
		for range r.IntN(3) {
			p.AllowedSources = append(p.AllowedSources, randomSource(r))
		}
	}
	for d := range p.Isolates {
		if r.IntN(3) == 0 {
			continue
		}
		p.Isolates[d] = true
		for range r.IntN(5) {
			p.Rules[d] = append(p.Rules[d], policy.Rule{
				Peers:     randomPeers(r, func() policy.Peer { return c.workloadPeer(r, policy.Direction(d), cluster) }),
				Ports:     randomPorts(r),
				Processes: somePrograms(r, 2),
			})
		}
	}
	for range r.IntN(3) {
		p.Escalation = append(p.Escalation, policy.EscalationRule{
			Classes: []policy.Class{policy.Privileges},
			Action:  pick(r, policy.Kill, policy.Ignore),
		})
	}
	addRuntime(r, p)
	return p
}

// randomSource is a small block that no other stock has.
func randomSource(r *rand.Rand) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(r.IntN(4)), 0}), 24)
}
