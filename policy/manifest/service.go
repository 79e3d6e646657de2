// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
)

// service leaves an ExternalName Service, which is but a DNS name, without
// addresses and selector.
func (c *checker) service(o *corev1.Service) policy.Service {
	spec := field.NewPath("spec")
	out := policy.Service{ObjectKey: policy.ObjectKey{Namespace: o.Namespace, Name: o.Name}}
	if o.Spec.Type != corev1.ServiceTypeExternalName {
		c.labels(spec.Child("selector"), o.Spec.Selector)
		out.Selector = o.Spec.Selector
		out.IPs = c.serviceIPs(o)
	}
	for i, port := range o.Spec.Ports {
		p := spec.Child("ports").Index(i)
		read := policy.ServicePort{
			Protocol: c.protocol(p.Child("protocol"), cmp.Or(port.Protocol, corev1.ProtocolTCP)),
			Number:   c.portNumber(p.Child("port"), port.Port),
		}
		if port.NodePort != 0 {
			read.NodePort = c.portNumber(p.Child("nodePort"), port.NodePort)
		}
		out.Ports = append(out.Ports, read)
	}
	return out
}

// serviceIPs leaves out loadBalancerIP: it is a wish, the status says what came
// of it.
func (c *checker) serviceIPs(o *corev1.Service) []netip.Addr {
	var ips []netip.Addr
	spec := field.NewPath("spec")
	if ip := o.Spec.ClusterIP; ip != "" && ip != corev1.ClusterIPNone {
		ips = c.address(ips, spec.Child("clusterIP"), ip)
	}
	for i, ip := range o.Spec.ClusterIPs {
		if ip != corev1.ClusterIPNone {
			ips = c.address(ips, spec.Child("clusterIPs").Index(i), ip)
		}
	}
	for i, ip := range o.Spec.ExternalIPs {
		ips = c.address(ips, spec.Child("externalIPs").Index(i), ip)
	}
	ingress := field.NewPath("status", "loadBalancer", "ingress")
	for i, in := range o.Status.LoadBalancer.Ingress {
		// It may have a hostname instead, or be the near end of a tunnel (minikube
		// writes 127.0.0.1), which is nobody's peer.
		if ip, err := netip.ParseAddr(in.IP); in.IP != "" && (err != nil || !ip.IsLoopback()) {
			ips = c.address(ips, ingress.Index(i).Child("ip"), in.IP)
		}
	}
	return ips
}

func (c *checker) endpointSlice(o *discoveryv1.EndpointSlice) policy.EndpointSlice {
	out := policy.EndpointSlice{
		ObjectKey: policy.ObjectKey{Namespace: o.Namespace, Name: o.Name},
		Service:   o.Labels[discoveryv1.LabelServiceName],
	}
	switch o.AddressType {
	case discoveryv1.AddressTypeFQDN:
		return out
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	default:
		c.add(field.NewPath("addressType"), string(o.AddressType), "unknown address type; write IPv4, IPv6 or FQDN")
	}
	for i, endpoint := range o.Endpoints {
		p := field.NewPath("endpoints").Index(i).Child("addresses")
		for j, ip := range endpoint.Addresses {
			out.IPs = c.address(out.IPs, p.Index(j), ip)
		}
	}
	return out
}
