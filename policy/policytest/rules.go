// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"math/rand/v2"

	"github.com/sluice-io/sluice/policy"
)

// randomSelector selects by up to two labels; every other one is empty.
func randomSelector(r *rand.Rand, keys []string, values []string) policy.Selector {
	var s policy.Selector
	for range pick(r, 0, 0, 1, 2) {
		q := policy.Requirement{
			Key:      pick(r, keys...),
			Operator: pick(r, policy.In, policy.In, policy.NotIn, policy.Exists, policy.DoesNotExist),
		}
		if q.Operator == policy.In || q.Operator == policy.NotIn {
			for range 1 + r.IntN(2) {
				q.Values = append(q.Values, pick(r, values...))
			}
		}
		s.Requirements = append(s.Requirements, q)
	}
	return s
}

func randomPods(r *rand.Rand) *policy.Selector {
	s := randomSelector(r, podLabels, labelValues)
	return &s
}

func (c *Case) randomNamespaces(r *rand.Rand) *policy.Selector {
	s := randomSelector(r, namespaceLabels, append(c.namespaces(), labelValues...))
	return &s
}

func randomBlock(r *rand.Rand, excepts int) *policy.IPBlock {
	b := policy.IPBlock{CIDR: randomPrefix(r)}
	for range excepts {
		if !b.CIDR.IsSingleIP() {
			b.Except = append(b.Except, randomWithin(r, b.CIDR))
		}
	}
	return &b
}

// networkPeer is a peer of a NetworkPolicy.
func (c *Case) networkPeer(r *rand.Rand) policy.Peer {
	if r.IntN(3) == 0 {
		return policy.Peer{IPBlock: randomBlock(r, r.IntN(3))}
	}
	var p policy.Peer
	which := 1 + r.IntN(3)
	if which&1 != 0 {
		p.Pods = randomPods(r)
	}
	if which&2 != 0 {
		p.Namespaces = c.randomNamespaces(r)
	}
	return p
}

// workloadPeer is a peer of a WorkloadPolicy, or of a ClusterWorkloadPolicy, which
// names its namespaces always.
func (c *Case) workloadPeer(r *rand.Rand, d policy.Direction, cluster bool) policy.Peer {
	switch r.IntN(9) {
	case 0, 1:
		a := policy.ServiceAccounts{Names: accounts[:r.IntN(3)]}
		if cluster || r.IntN(2) == 0 {
			a.Namespaces = c.randomNamespaces(r)
		}
		return policy.Peer{ServiceAccounts: &a}
	case 2, 3:
		return policy.Peer{Entity: pick(r, policy.KubeAPIServer, policy.EntityNode, policy.World)}
	case 4, 5:
		if d == policy.Egress {
			return c.egressPeer(r)
		}
	}
	p := c.networkPeer(r)
	if cluster && p.Pods != nil && p.Namespaces == nil {
		p.Namespaces = c.randomNamespaces(r)
	}
	return p
}

// egressPeer is one that stands in egress rules only.
func (c *Case) egressPeer(r *rand.Rand) policy.Peer {
	if r.IntN(5) == 0 {
		return policy.Peer{DomainNames: []string{"example.com", "*.example.net"}}
	}
	key := pick(r, c.services()...)
	return policy.Peer{Service: &key}
}

// clusterPeer is a peer of a ClusterNetworkPolicy's rule.
func (c *Case) clusterPeer(r *rand.Rand, d policy.Direction, action policy.RuleAction) policy.Peer {
	if d == policy.Egress {
		switch r.IntN(6) {
		case 0:
			s := randomSelector(r, nodeLabels, labelValues)
			return policy.Peer{Nodes: &s}
		case 1, 2:
			return policy.Peer{IPBlock: randomBlock(r, 0)}
		case 3:
			if action == policy.Accept {
				return policy.Peer{DomainNames: []string{"example.com"}}
			}
		}
	}
	p := policy.Peer{Namespaces: c.randomNamespaces(r)}
	if r.IntN(2) == 0 {
		p.Pods = randomPods(r)
	}
	return p
}

// randomPort is every port of a protocol, one, a range or a name.
func randomPort(r *rand.Rand) policy.Port {
	p := policy.Port{Protocol: pick(r, policy.TCP, policy.TCP, policy.UDP, policy.SCTP)}
	switch r.IntN(8) {
	case 0:
	case 1, 2:
		edges := pick(r, ranges...)
		p.Number, p.End = edges[0], edges[1]
	case 3, 4:
		p.Name = pick(r, portNames...)
	default:
		p.Number = pick(r, ports...)
	}
	return p
}

func randomPorts(r *rand.Rand) []policy.Port {
	var out []policy.Port
	for range pick(r, 0, 0, 1, 3) {
		out = append(out, randomPort(r))
	}
	return out
}

// clusterPorts are a ClusterNetworkPolicy's, where a name has no protocol.
func clusterPorts(r *rand.Rand) []policy.Port {
	out := randomPorts(r)
	for i := range out {
		if out[i].Name != "" {
			out[i].Protocol = policy.AnyProtocol
		}
	}
	return out
}
