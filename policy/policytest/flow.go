// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Flow asks about a local pod. Its peer is a pod, a node, an address of or behind
// a Service, an address in or next to a block of some policy, or any other; its
// port is near those of rules and pods, or 0 now and then. A Case without local
// pods has no flows.
func (c *Case) Flow(r *rand.Rand) policy.Flow {
	f := policy.Flow{
		Pod:       pick(r, c.Local...),
		Direction: pick(r, policy.Ingress, policy.Egress),
		Peer:      c.peer(r),
		Protocol:  pick(r, policy.TCP, policy.TCP, policy.TCP, policy.UDP, policy.UDP, policy.SCTP, policy.ICMP),
		Process:   pick(r, slices.Concat([]string{""}, paths, paths, programs)...),
	}
	switch f.Protocol {
	case policy.ICMP:
		if f.Peer.Is6() {
			f.Protocol = policy.ICMPv6
		}
	default:
		f.Port = randomFlowPort(r)
	}
	return f
}

// randomFlowPort is one of the stock, one beside the end of a range, or 0.
func randomFlowPort(r *rand.Rand) uint16 {
	switch r.IntN(16) {
	case 0:
		return 0
	case 1, 2, 3, 4, 5, 6:
		edges := pick(r, ranges...)
		return pick(r, edges[:]...) + pick(r, 0, 0, 1, ^uint16(0)) // past 65535 is 0
	}
	return pick(r, ports...)
}

// peer picks the peer address of a flow.
func (c *Case) peer(r *rand.Rand) netip.Addr {
	switch r.IntN(12) {
	case 0:
		return randomAddr(r)
	case 1, 2, 3:
		if blocks := c.prefixes(); len(blocks) > 0 {
			return nearEdge(r, pick(r, blocks...))
		}
	case 4:
		return pick(r, netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), randomWorld(r), randomWorld(r))
	case 5:
		if addrs := c.nodeAddrs(); len(addrs) > 0 {
			return pick(r, addrs...)
		}
	case 6, 7:
		if addrs := c.serviceAddrs(); len(addrs) > 0 {
			return pick(r, addrs...)
		}
	}
	if addrs := c.podAddrs(r.IntN(c.size.Pods)); len(addrs) > 0 {
		return pick(r, addrs...)
	}
	return randomAddr(r)
}

// podAddrs are the addresses of the i-th pod.
func (c *Case) podAddrs(i int) []netip.Addr {
	for _, namespace := range c.namespaces() { // map order is not the seed's
		if pod, ok := c.Cluster.Pods[policy.PodKey{Namespace: namespace, Name: podName(i)}]; ok {
			return pod.IPs
		}
	}
	return nil
}

func (c *Case) nodeAddrs() (out []netip.Addr) {
	for i := range c.size.Nodes {
		out = append(out, c.Cluster.Nodes[nodeName(i)].IPs...)
	}
	return out
}

// serviceAddrs are the addresses of Services and in EndpointSlices.
func (c *Case) serviceAddrs() (out []netip.Addr) {
	for _, key := range c.services() {
		out = append(out, c.Cluster.Services[key].IPs...)
		for i := range maxSlices {
			out = append(out, c.Cluster.EndpointSlices[sliceKey(key, i)].IPs...)
		}
	}
	return out
}

// prefixes are the CIDRs and exceptions of all policies, and those of the nodes.
func (c *Case) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for i := range c.size.Nodes {
		out = append(out, c.Cluster.Nodes[nodeName(i)].PodCIDRs...)
	}
	add := func(rules [2][]policy.Rule) {
		for _, rule := range slices.Concat(rules[0], rules[1]) {
			for _, p := range rule.Peers {
				if p.IPBlock != nil {
					out = append(append(out, p.IPBlock.CIDR), p.IPBlock.Except...)
				}
			}
		}
	}
	for _, p := range c.Cluster.ClusterNetworkPolicies {
		add(p.Rules)
	}
	for _, p := range c.Cluster.NetworkPolicies {
		add(p.Rules)
	}
	for _, p := range c.Cluster.WorkloadPolicies {
		add(p.Rules)
	}
	return out
}
