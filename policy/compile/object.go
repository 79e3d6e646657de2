// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// object is something of the cluster that has addresses.
type object struct {
	// kind is KindPod only for pods that policies reach as such: a host-network
	// pod has none, and only its addresses count.
	kind            policy.Kind
	ips             []netip.Addr
	namespace       string
	namespaceLabels map[string]string
	labels          map[string]string // of a pod or node
	account         string            // of a pod
	ports           []policy.ContainerPort
	service         string // of an EndpointSlice

	entries []*entry // that select it
}

// inside says whether the object's addresses are not the World's.
func (o *object) inside() bool { return o.kind != policy.KindEndpointSlice }

// snapshot is a cluster with what is asked of it again and again.
type snapshot struct {
	*policy.Cluster
	labels map[string]map[string]string // by namespace, its name among them
}

func newSnapshot(c *policy.Cluster) snapshot {
	return snapshot{c, make(map[string]map[string]string)}
}

// object is an object of the cluster, nil if it is not there.
func (c snapshot) object(ref policy.Ref) *object {
	key := policy.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	switch ref.Kind {
	case policy.KindPod:
		p, ok := c.Pods[policy.PodKey(key)]
		switch {
		case !ok:
			return nil
		case p.HostNetwork:
			return &object{ips: p.IPs}
		}
		return &object{
			kind: ref.Kind, ips: p.IPs, namespace: ref.Namespace, namespaceLabels: c.namespaceLabels(ref.Namespace),
			labels: p.Labels, account: p.ServiceAccount, ports: p.Ports,
		}
	case policy.KindNode:
		if n, ok := c.Nodes[ref.Name]; ok {
			return &object{kind: ref.Kind, ips: n.IPs, labels: n.Labels}
		}
	case policy.KindService:
		if s, ok := c.Services[key]; ok {
			return &object{kind: ref.Kind, ips: s.IPs}
		}
	case policy.KindEndpointSlice:
		if s, ok := c.EndpointSlices[key]; ok {
			return &object{kind: ref.Kind, ips: s.IPs, namespace: ref.Namespace, service: s.Service}
		}
	}
	return nil
}

// namespaceLabels are the labels of a namespace, which need not be described.
func (c snapshot) namespaceLabels(name string) map[string]string {
	labels, ok := c.labels[name]
	if !ok {
		labels = map[string]string{}
		maps.Copy(labels, c.Namespaces[name].Labels)
		labels[nameLabel] = name
		c.labels[name] = labels
	}
	return labels
}

// changes are the objects that are not the same in two clusters, sorted.
func changes(a, b snapshot) []policy.Ref {
	var out []policy.Ref
	relabelled := make(map[string]bool)
	for _, name := range differing(a.Namespaces, b.Namespaces, func(x, y policy.Namespace) bool {
		return sameMap(x.Labels, y.Labels)
	}) {
		relabelled[name] = true
	}
	for _, k := range differing(a.Pods, b.Pods, func(x, y policy.Pod) bool {
		return (len(relabelled) == 0 || !relabelled[x.Namespace]) && x.HostNetwork == y.HostNetwork &&
			x.ServiceAccount == y.ServiceAccount && sameMap(x.Labels, y.Labels) &&
			slices.Equal(x.IPs, y.IPs) && slices.Equal(x.Ports, y.Ports)
	}) {
		out = append(out, policy.Ref{Kind: policy.KindPod, Namespace: k.Namespace, Name: k.Name})
	}
	for _, name := range differing(a.Nodes, b.Nodes, func(x, y policy.Node) bool {
		return sameMap(x.Labels, y.Labels) && slices.Equal(x.IPs, y.IPs) && slices.Equal(x.PodCIDRs, y.PodCIDRs)
	}) {
		out = append(out, policy.Ref{Kind: policy.KindNode, Name: name})
	}
	for _, k := range differing(a.Services, b.Services, func(x, y policy.Service) bool {
		return slices.Equal(x.IPs, y.IPs)
	}) {
		out = append(out, policy.Ref{Kind: policy.KindService, Namespace: k.Namespace, Name: k.Name})
	}
	for _, k := range differing(a.EndpointSlices, b.EndpointSlices, func(x, y policy.EndpointSlice) bool {
		return x.Service == y.Service && slices.Equal(x.IPs, y.IPs)
	}) {
		out = append(out, policy.Ref{Kind: policy.KindEndpointSlice, Namespace: k.Namespace, Name: k.Name})
	}
	slices.SortFunc(out, policy.Ref.Compare)
	return out
}

// differing are the keys whose values are not the same in two maps.
func differing[K comparable, V any](a, b map[K]V, same func(x, y V) bool) []K {
	if reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() { // one and the same map
		return nil
	}
	var out []K
	both := 0
	for k, y := range b {
		x, ok := a[k]
		if ok {
			both++
		}
		if !ok || !same(x, y) {
			out = append(out, k)
		}
	}
	if both == len(a) {
		return out
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			out = append(out, k)
		}
	}
	return out
}

// sameMap is maps.Equal, but that one map, which never changes, need not be read.
func sameMap(a, b map[string]string) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() || maps.Equal(a, b)
}
