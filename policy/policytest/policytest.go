// SPDX-License-Identifier: Apache-2.0

// Package policytest makes random clusters, edits of them and flows to ask, for
// tests that compare two ways of judging. Names, labels, ports and addresses come
// from small stocks, so that selectors, blocks and rules meet often; all of it is
// what the standard APIs and this version of WorkloadPolicy can say.
package policytest

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Size says how large a random cluster is.
type Size struct {
	Namespaces       int // at least 1
	Pods             int // at least 1
	Local            int // of these, judged here
	NetworkPolicies  int
	WorkloadPolicies int
}

// Small is a size at which most rules meet most pods.
var Small = Size{Namespaces: 3, Pods: 14, Local: 5, NetworkPolicies: 7, WorkloadPolicies: 5}

// Case is a random cluster with what else a compiler is given.
type Case struct {
	Cluster *policy.Cluster
	// Local are pods of the cluster that have an IPv4 and an IPv6 address and are
	// not of the host's network.
	Local []policy.PodKey
	// Programs are sets of paths that are one file.
	Programs [][]string

	size Size
}

// Random makes a cluster.
func Random(r *rand.Rand, size Size) Case {
	c := Case{size: size, Cluster: &policy.Cluster{
		Namespaces: map[string]policy.Namespace{},
		Pods:       map[policy.PodKey]policy.Pod{},
	}}
	for i := range size.Namespaces {
		// One in four is described by no object.
		if name := namespaceName(i); r.IntN(4) > 0 {
			c.Cluster.Namespaces[name] = randomNamespace(r, name)
		}
	}
	for i := range size.Pods {
		pod := c.randomPod(r, i)
		c.Cluster.Pods[pod.PodKey] = pod
		if i < size.Local {
			c.Local = append(c.Local, pod.PodKey)
		}
	}
	for i := range size.NetworkPolicies {
		c.Cluster.NetworkPolicies = append(c.Cluster.NetworkPolicies, c.randomNetworkPolicy(r, i))
	}
	for i := range size.WorkloadPolicies {
		c.Cluster.WorkloadPolicies = append(c.Cluster.WorkloadPolicies, c.randomWorkloadPolicy(r, i))
	}
	c.shuffle(r)
	c.Programs = randomPrograms(r)
	return c
}

// shuffle takes the policies out of the order of their names.
func (c *Case) shuffle(r *rand.Rand) {
	n, w := c.Cluster.NetworkPolicies, c.Cluster.WorkloadPolicies
	r.Shuffle(len(n), func(i, j int) { n[i], n[j] = n[j], n[i] })
	r.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
}

// Flow asks about a local pod. Its peer is a pod, an address in or next to a
// block of some policy, or any other; ingress flows have no process. A Case
// without local pods has no flows.
func (c *Case) Flow(r *rand.Rand) policy.Flow {
	f := policy.Flow{
		Pod:       pick(r, c.Local...),
		Direction: pick(r, policy.Ingress, policy.Egress),
		Peer:      c.peer(r),
		Protocol:  pick(r, policy.TCP, policy.TCP, policy.UDP, policy.SCTP, policy.ICMP),
	}
	switch f.Protocol {
	case policy.ICMP:
		if f.Peer.Is6() {
			f.Protocol = policy.ICMPv6
		}
	default:
		f.Port = pick(r, ports...)
	}
	if f.Direction == policy.Egress {
		f.Process = pick(r, append([]string{"", "/bin/unnamed"}, paths...)...)
	}
	return f
}

// peer picks the peer address of a flow.
func (c *Case) peer(r *rand.Rand) netip.Addr {
	switch r.IntN(8) {
	case 0:
		return randomAddr(r)
	case 1, 2, 3:
		if blocks := c.prefixes(); len(blocks) > 0 {
			return nearEdge(r, pick(r, blocks...))
		}
	case 4:
		return pick(r, netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(),
			netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
	}
	// Map order is not the seed's.
	i := r.IntN(c.size.Pods)
	for _, namespace := range c.namespaces() {
		pod, ok := c.Cluster.Pods[policy.PodKey{Namespace: namespace, Name: podName(i)}]
		if ok && len(pod.IPs) > 0 {
			return pick(r, pod.IPs...)
		}
	}
	return randomAddr(r)
}

// prefixes are the CIDRs and exceptions of all policies.
func (c *Case) prefixes() []netip.Prefix {
	var out []netip.Prefix
	add := func(rules [2][]policy.Rule) {
		for _, rule := range slices.Concat(rules[0], rules[1]) {
			for _, p := range rule.Peers {
				if p.IPBlock != nil {
					out = append(append(out, p.IPBlock.CIDR), p.IPBlock.Except...)
				}
			}
		}
	}
	for _, p := range c.Cluster.NetworkPolicies {
		add(p.Rules)
	}
	for _, p := range c.Cluster.WorkloadPolicies {
		add(p.Rules)
	}
	return out
}

// namespaces are the names that the cluster's pods and policies use.
func (c *Case) namespaces() []string {
	var out []string
	for i := range c.size.Namespaces {
		out = append(out, namespaceName(i))
	}
	return out
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
