// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
)

// readNamespace sets the name label, as the API server does.
func readNamespace(o *corev1.Namespace) policy.Namespace {
	labels := maps.Clone(o.Labels)
	if labels == nil {
		labels = make(map[string]string)
	}
	labels[corev1.LabelMetadataName] = o.Name
	return policy.Namespace{Name: o.Name, Labels: labels}
}

func (c *checker) pod(o *corev1.Pod) policy.Pod {
	return policy.Pod{
		PodKey:      policy.PodKey{Namespace: o.Namespace, Name: o.Name},
		UID:         string(o.UID),
		Labels:      o.Labels,
		IPs:         c.podIPs(&o.Status),
		Node:        o.Spec.NodeName,
		HostNetwork: o.Spec.HostNetwork,
	}
}

// podIPs returns no address for a pod that has ended: its addresses may already
// be another pod's.
func (c *checker) podIPs(s *corev1.PodStatus) []netip.Addr {
	var ips []netip.Addr
	add := func(p *field.Path, value string) {
		ip, err := netip.ParseAddr(value)
		if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() {
			c.add(p, value, "not a pod's address; write an IPv4 or IPv6 unicast address")
			return
		}
		if ip = ip.Unmap(); !slices.Contains(ips, ip) {
			ips = append(ips, ip)
		}
	}
	status := field.NewPath("status")
	if s.PodIP != "" {
		add(status.Child("podIP"), s.PodIP)
	}
	for i, ip := range s.PodIPs {
		add(status.Child("podIPs").Index(i).Child("ip"), ip.IP)
	}
	if s.Phase == corev1.PodSucceeded || s.Phase == corev1.PodFailed {
		return nil
	}
	return ips
}
