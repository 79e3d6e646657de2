// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"maps"
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

// clusterSubject is subject for a cluster-scoped policy. "Note that host-networked
// pods are not included in subject selection."
func clusterSubject(c *policy.Cluster, pod policy.Pod, namespaces, pods policy.Selector) bool {
	return !pod.HostNetwork && selects(namespaces, namespaceLabels(c, pod.Namespace)) && selects(pods, pod.Labels)
}

// workloadSubject is subject for a WorkloadPolicy or a ClusterWorkloadPolicy.
func workloadSubject(c *policy.Cluster, pod policy.Pod, p *policy.WorkloadPolicy) bool {
	if p.Namespaces != nil {
		return clusterSubject(c, pod, *p.Namespaces, p.Pods)
	}
	return subject(pod, p.Namespace, p.Pods)
}

// selectsPod says whether a peer's selectors select a pod. With a
// namespaceSelector: "the NetworkPolicyPeer as a whole selects the pods matching
// podSelector in the namespaces selected by namespaceSelector. Otherwise it
// selects the pods matching podSelector in the policy's own namespace"; without
// podSelector "all pods in the namespaces selected by namespaceSelector". A
// ClusterWorkloadPolicy has no own namespace.
func selectsPod(c *policy.Cluster, own string, p policy.Peer, pod policy.Pod) bool {
	namespaces := p.Namespaces
	if p.ServiceAccounts != nil {
		namespaces = p.ServiceAccounts.Namespaces
	}
	if pod.HostNetwork {
		return false
	}
	if namespaces == nil && pod.Namespace != own {
		return false
	}
	if namespaces != nil && !selects(*namespaces, namespaceLabels(c, pod.Namespace)) {
		return false
	}
	if a := p.ServiceAccounts; a != nil {
		return len(a.Names) == 0 || slices.Contains(a.Names, pod.ServiceAccount)
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

// hasLabels says whether labels has all of those wanted, as a Service's selector asks.
func hasLabels(labels, wanted map[string]string) bool {
	for k, v := range wanted {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
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
