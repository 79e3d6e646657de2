// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// apiServer is the Service whose endpoints are the API servers.
var apiServer = policy.ObjectKey{Namespace: "default", Name: "kubernetes"}

// podsAt are the pods that have an address, by name. A host-network pod has none
// of its own: its address is its node's.
func podsAt(c *policy.Cluster, addr netip.Addr) []policy.Pod {
	var out []policy.Pod
	for _, pod := range c.Pods {
		if !pod.HostNetwork && slices.Contains(pod.IPs, addr) {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b policy.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// isPodSelector says whether a peer matches pods rather than addresses.
func isPodSelector(p policy.Peer) bool {
	return p.Namespaces != nil || p.Pods != nil || p.ServiceAccounts != nil
}

// matchesPeer says whether the flow's peer is one of a rule's: a pod that its
// selectors select, or an address that it means whoever has it.
func (q *question) matchesPeer(own string, p policy.Peer) bool {
	switch {
	case isPodSelector(p):
		return slices.ContainsFunc(q.at, func(pod policy.Pod) bool { return selectsPod(q.c, own, p, pod) })
	case p.IPBlock != nil:
		return inBlock(*p.IPBlock, q.Peer)
	case p.Service != nil:
		return q.isBehind(*p.Service)
	case p.Entity != "":
		return q.isEntity(p.Entity)
	case p.Nodes != nil:
		return q.isNode(*p.Nodes)
	}
	return false // domainNames
}

// inBlock: "IPBlock describes a particular CIDR that is allowed to the pods
// matched by a podSelector. The except entry describes CIDRs that should not be
// included within this rule." It is asked of every address, a pod's too.
func inBlock(b policy.IPBlock, addr netip.Addr) bool {
	return b.CIDR.Contains(addr) &&
		!slices.ContainsFunc(b.Except, func(x netip.Prefix) bool { return x.Contains(addr) })
}

// isBehind says whether the peer is behind a Service: in one of its
// EndpointSlices, or a pod that its selector selects in its namespace. A Service
// without a selector selects none.
func (q *question) isBehind(service policy.ObjectKey) bool {
	if inSlices(q.c, service, q.Peer) {
		return true
	}
	return slices.ContainsFunc(q.at, func(pod policy.Pod) bool { return isBackend(q.c, service, pod) })
}

// isBackend says whether a Service's selector selects a pod.
func isBackend(c *policy.Cluster, service policy.ObjectKey, pod policy.Pod) bool {
	selector := c.Services[service].Selector
	return len(selector) > 0 && pod.Namespace == service.Namespace && hasLabels(pod.Labels, selector)
}

func inSlices(c *policy.Cluster, service policy.ObjectKey, addr netip.Addr) bool {
	for _, s := range c.EndpointSlices {
		if s.Namespace == service.Namespace && s.Service == service.Name && slices.Contains(s.IPs, addr) {
			return true
		}
	}
	return false
}

func (q *question) isEntity(e policy.Entity) bool {
	switch e {
	case policy.EntityNode:
		return q.isNode(policy.Selector{})
	case policy.KubeAPIServer:
		return inSlices(q.c, apiServer, q.Peer)
	case policy.World:
		return q.isWorld()
	}
	return false // not an entity of the API
}

// isNode: "It selects the nodeIPs as the peer type by matching on the IPs present
// in the node.Status.Addresses field of the node. [...] if present but empty, it
// selects all Nodes."
func (q *question) isNode(s policy.Selector) bool {
	for _, n := range q.c.Nodes {
		if slices.Contains(n.IPs, q.Peer) && selects(s, n.Labels) {
			return true
		}
	}
	return false
}

// isWorld: World is "every address that is none of a pod's, a node's or a
// Service's, nor inside a node's PodCIDRs". An address of a host-network pod is a
// pod's here, so that a node that no object describes is not the world.
func (q *question) isWorld() bool {
	for _, pod := range q.c.Pods {
		if slices.Contains(pod.IPs, q.Peer) {
			return false
		}
	}
	for _, s := range q.c.Services {
		if slices.Contains(s.IPs, q.Peer) {
			return false
		}
	}
	for _, n := range q.c.Nodes {
		if slices.ContainsFunc(n.PodCIDRs, func(p netip.Prefix) bool { return p.Contains(q.Peer) }) {
			return false
		}
	}
	return !q.isNode(policy.Selector{})
}
