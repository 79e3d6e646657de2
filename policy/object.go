// SPDX-License-Identifier: Apache-2.0

package policy

import "net/netip"

// Namespace is a Kubernetes namespace. The label kubernetes.io/metadata.name is
// always there, as the API server sets it.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// Pod is what policies see of a pod, here or elsewhere.
type Pod struct {
	PodKey
	UID            string
	Labels         map[string]string
	IPs            []netip.Addr // unmapped; empty until known
	Node           string
	HostNetwork    bool   // neither selected by policies nor reached as a pod
	ServiceAccount string // "default" if the manifest names none
	Ports          []ContainerPort
}

// ContainerPort is a named port of a pod: what a rule's port name means there.
type ContainerPort struct {
	Name     string
	Protocol Protocol
	Number   uint16
}

// Node is a node of the cluster. Policies reach host-network pods as their node.
type Node struct {
	Name     string
	Labels   map[string]string
	IPs      []netip.Addr   // of status.addresses; unmapped
	PodCIDRs []netip.Prefix // masked
}

// ObjectKey names a namespaced object that is not a pod.
type ObjectKey struct{ Namespace, Name string }

// Service is what policies see of a Service.
type Service struct {
	ObjectKey
	Selector map[string]string // empty: its EndpointSlices alone say what is behind it
	IPs      []netip.Addr      // cluster, external and load balancer addresses; unmapped
	Ports    []ServicePort
}

// ServicePort is a port of a Service.
type ServicePort struct {
	Protocol Protocol
	Number   uint16
	NodePort uint16 // 0: none
}

// EndpointSlice is some of the addresses behind a Service, ready or not.
type EndpointSlice struct {
	ObjectKey
	Service string // in the same namespace
	IPs     []netip.Addr
}
