// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// nameLabel is the label that the API server sets on every namespace.
const nameLabel = "kubernetes.io/metadata.name"

// subject says whether a policy in namespace own with that podSelector applies to
// a pod. "An empty selector matches all pods in the policy's namespace."
// NetworkPolicy has no effect on pods of the host's network.
func subject(pod policy.Pod, own string, pods policy.Selector) bool {
	return !pod.HostNetwork && pod.Namespace == own && selects(pods, pod.Labels)
}

// matchesPeer says whether an address is that of a peer: inside its ipBlock,
// which is asked of every address, a pod's too, or one of a pod that its
// selectors select.
func matchesPeer(c *policy.Cluster, own string, p policy.Peer, addr netip.Addr) bool {
	if p.IPBlock != nil {
		return inBlock(*p.IPBlock, addr)
	}
	for _, pod := range c.Pods {
		if slices.Contains(pod.IPs, addr) && selectsPod(c, own, p, pod) {
			return true
		}
	}
	return false
}

// inBlock: "IPBlock describes a particular CIDR that is allowed to the pods
// matched by a podSelector. The except entry describes CIDRs that should not be
// included within this rule."
func inBlock(b policy.IPBlock, addr netip.Addr) bool {
	if !b.CIDR.Contains(addr) {
		return false
	}
	return !slices.ContainsFunc(b.Except, func(x netip.Prefix) bool { return x.Contains(addr) })
}

// selectsPod says whether a peer's selectors select a pod. With a
// namespaceSelector: "the NetworkPolicyPeer as a whole selects the pods matching
// podSelector in the namespaces selected by namespaceSelector. Otherwise it
// selects the pods matching podSelector in the policy's own namespace"; without
// podSelector "all pods in the namespaces selected by namespaceSelector".
func selectsPod(c *policy.Cluster, own string, p policy.Peer, pod policy.Pod) bool {
	if pod.HostNetwork {
		return false
	}
	if p.Namespaces == nil && pod.Namespace != own {
		return false
	}
	if p.Namespaces != nil && !selects(*p.Namespaces, namespaceLabels(c, pod.Namespace)) {
		return false
	}
	return p.Pods == nil || selects(*p.Pods, pod.Labels)
}

// namespaceLabels are a namespace's labels; its name is always one of them.
func namespaceLabels(c *policy.Cluster, name string) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, c.Namespaces[name].Labels)
	labels[nameLabel] = name
	return labels
}

// selects: "The requirements are ANDed. [...] An empty label selector matches all
// objects."
func selects(s policy.Selector, labels map[string]string) bool {
	for _, r := range s.Requirements {
		if !meets(r, labels) {
			return false
		}
	}
	return true
}

// meets says whether labels meet a requirement. NotIn also selects what does not
// have the key.
func meets(r policy.Requirement, labels map[string]string) bool {
	value, ok := labels[r.Key]
	switch r.Operator {
	case policy.In:
		return ok && slices.Contains(r.Values, value)
	case policy.NotIn:
		return !ok || !slices.Contains(r.Values, value)
	case policy.Exists:
		return ok
	case policy.DoesNotExist:
		return !ok
	}
	return false // not an operator of the API
}
