// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
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
		PodKey:         policy.PodKey{Namespace: o.Namespace, Name: o.Name},
		UID:            string(o.UID),
		Labels:         o.Labels,
		IPs:            c.podIPs(&o.Status),
		Node:           o.Spec.NodeName,
		HostNetwork:    o.Spec.HostNetwork,
		ServiceAccount: c.serviceAccount(&o.Spec),
		Ports:          c.podPorts(&o.Spec),
	}
}

// podIPs returns no address for a pod that has ended: its addresses may already
// be another pod's.
func (c *checker) podIPs(s *corev1.PodStatus) []netip.Addr {
	var ips []netip.Addr
	status := field.NewPath("status")
	if s.PodIP != "" {
		ips = c.address(ips, status.Child("podIP"), s.PodIP)
	}
	for i, ip := range s.PodIPs {
		ips = c.address(ips, status.Child("podIPs").Index(i).Child("ip"), ip.IP)
	}
	if s.Phase == corev1.PodSucceeded || s.Phase == corev1.PodFailed {
		return nil
	}
	return ips
}

// serviceAccount defaults as the API server does, which still reads the field's
// old name.
func (c *checker) serviceAccount(s *corev1.PodSpec) string {
	p, name := field.NewPath("spec", "serviceAccountName"), s.ServiceAccountName
	if name == "" {
		p, name = field.NewPath("spec", "serviceAccount"), cmp.Or(s.DeprecatedServiceAccount, "default")
	}
	c.format(p, name, validation.IsDNS1123Subdomain)
	return name
}

// podPorts are the named ports of what runs beside each other in a pod:
// containers, and the init containers that are sidecars.
func (c *checker) podPorts(s *corev1.PodSpec) []policy.ContainerPort {
	var out []policy.ContainerPort
	spec := field.NewPath("spec")
	for i, container := range s.Containers {
		out = append(out, c.containerPorts(spec.Child("containers").Index(i), container.Ports)...)
	}
	for i, container := range s.InitContainers {
		if r := container.RestartPolicy; r != nil && *r == corev1.ContainerRestartPolicyAlways {
			out = append(out, c.containerPorts(spec.Child("initContainers").Index(i), container.Ports)...)
		}
	}
	return out
}

func (c *checker) containerPorts(container *field.Path, ports []corev1.ContainerPort) []policy.ContainerPort {
	var out []policy.ContainerPort
	for i, port := range ports {
		if port.Name == "" {
			continue
		}
		p := container.Child("ports").Index(i)
		c.format(p.Child("name"), port.Name, validation.IsValidPortName)
		out = append(out, policy.ContainerPort{
			Name:     port.Name,
			Protocol: c.protocol(p.Child("protocol"), cmp.Or(port.Protocol, corev1.ProtocolTCP)),
			Number:   c.portNumber(p.Child("containerPort"), port.ContainerPort),
		})
	}
	return out
}

func (c *checker) node(o *corev1.Node) policy.Node {
	out := policy.Node{Name: o.Name, Labels: o.Labels}
	addresses := field.NewPath("status", "addresses")
	for i, a := range o.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			out.IPs = c.address(out.IPs, addresses.Index(i).Child("address"), a.Address)
		}
	}
	spec := field.NewPath("spec")
	for i, s := range o.Spec.PodCIDRs {
		cidr, _ := c.cidr(spec.Child("podCIDRs").Index(i), s)
		out.PodCIDRs = append(out.PodCIDRs, cidr)
	}
	if len(o.Spec.PodCIDRs) == 0 && o.Spec.PodCIDR != "" {
		cidr, _ := c.cidr(spec.Child("podCIDR"), o.Spec.PodCIDR)
		out.PodCIDRs = []netip.Prefix{cidr}
	}
	return out
}
