// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
)

func (c *checker) networkPolicy(o *networkingv1.NetworkPolicy) *policy.NetworkPolicy {
	spec := field.NewPath("spec")
	out := &policy.NetworkPolicy{
		Namespace: o.Namespace,
		Name:      o.Name,
		Pods:      *c.selector(spec.Child("podSelector"), &o.Spec.PodSelector),
		Isolates:  c.policyTypes(spec.Child("policyTypes"), &o.Spec),
	}
	for i, r := range o.Spec.Ingress {
		p := spec.Child("ingress").Index(i)
		out.Rules[policy.Ingress] = append(out.Rules[policy.Ingress], c.rule(p, "from", r.From, r.Ports))
	}
	for i, r := range o.Spec.Egress {
		p := spec.Child("egress").Index(i)
		out.Rules[policy.Egress] = append(out.Rules[policy.Egress], c.rule(p, "to", r.To, r.Ports))
	}
	// Rules of a direction that policyTypes leaves out have no effect.
	for dir, isolated := range out.Isolates {
		if !isolated {
			out.Rules[dir] = nil
		}
	}
	return out
}

// policyTypes without an entry mean Ingress, and Egress if there are egress rules.
func (c *checker) policyTypes(p *field.Path, spec *networkingv1.NetworkPolicySpec) (isolates [2]bool) {
	if len(spec.PolicyTypes) == 0 {
		isolates[policy.Ingress] = true
		isolates[policy.Egress] = len(spec.Egress) > 0
	}
	for i, t := range spec.PolicyTypes {
		switch t {
		case networkingv1.PolicyTypeIngress:
			isolates[policy.Ingress] = true
		case networkingv1.PolicyTypeEgress:
			isolates[policy.Egress] = true
		default:
			c.add(p.Index(i), string(t), "unknown policy type; write Ingress or Egress")
		}
	}
	return isolates
}

func (c *checker) rule(p *field.Path, peersField string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) policy.Rule {
	var out policy.Rule
	for i, peer := range peers {
		out.Peers = append(out.Peers, c.peer(p.Child(peersField).Index(i), peer))
	}
	for i, port := range ports {
		out.Ports = append(out.Ports, c.port(p.Child("ports").Index(i), port))
	}
	return out
}

func (c *checker) peer(p *field.Path, in networkingv1.NetworkPolicyPeer) policy.Peer {
	selects := in.PodSelector != nil || in.NamespaceSelector != nil
	switch {
	case in.IPBlock == nil && !selects:
		c.add(p, "", "empty peer; write podSelector, namespaceSelector or ipBlock")
	case in.IPBlock != nil && selects:
		c.add(p, "", "ipBlock and selectors do not go together; make them two peers")
	}
	return policy.Peer{
		IPBlock:    c.ipBlock(p.Child("ipBlock"), in.IPBlock),
		Namespaces: c.selector(p.Child("namespaceSelector"), in.NamespaceSelector),
		Pods:       c.selector(p.Child("podSelector"), in.PodSelector),
	}
}
