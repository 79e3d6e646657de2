// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/v1alpha1"
)

func (r workloadReader) workloadPeer(p *field.Path, dir policy.Direction, in v1alpha1.Peer) policy.Peer {
	r.oneGroup(p, in)
	if in.PodSelector != nil {
		r.needNamespace(p.Child("namespaceSelector"), in.NamespaceSelector != nil)
	}
	return policy.Peer{
		IPBlock:         r.ipBlock(p.Child("ipBlock"), in.IPBlock),
		Namespaces:      r.selector(p.Child("namespaceSelector"), in.NamespaceSelector),
		Pods:            r.selector(p.Child("podSelector"), in.PodSelector),
		ServiceAccounts: r.serviceAccounts(p.Child("serviceAccount"), in.ServiceAccount),
		Service:         r.serviceKey(p.Child("service"), in.Service),
		Entity:          r.entity(p.Child("entity"), in.Entity),
		DomainNames:     r.domainNames(p.Child("domainNames"), dir, in.DomainNames),
	}
}

func (r workloadReader) oneGroup(p *field.Path, in v1alpha1.Peer) {
	n := 0
	for _, written := range []bool{
		in.PodSelector != nil || in.NamespaceSelector != nil, in.IPBlock != nil, len(in.DomainNames) > 0,
		in.Service != nil, in.ServiceAccount != nil, in.Entity != "",
	} {
		if written {
			n++
		}
	}
	switch {
	case n == 0:
		r.add(p, "", "empty peer; write podSelector, namespaceSelector, ipBlock, service, serviceAccount or entity")
	case n > 1:
		r.add(p, "", "only podSelector and namespaceSelector go together; make the others peers of their own")
	}
}

// needNamespace refuses a peer that leaves its namespace to that of the policy if
// the policy has none.
func (r workloadReader) needNamespace(p *field.Path, named bool) {
	if r.out.Namespaces != nil && !named {
		r.add(p, "", "required, since a ClusterWorkloadPolicy has no namespace of its own; name the peer's")
	}
}

// serviceAccounts returns nil for nil.
func (r workloadReader) serviceAccounts(p *field.Path, in *v1alpha1.ServiceAccountSelector) *policy.ServiceAccounts {
	if in == nil {
		return nil
	}
	namespaces := p.Child("namespaceSelector")
	r.needNamespace(namespaces, in.NamespaceSelector != nil)
	for i, name := range in.Names {
		r.format(p.Child("names").Index(i), name, validation.IsDNS1123Subdomain)
	}
	return &policy.ServiceAccounts{Namespaces: r.selector(namespaces, in.NamespaceSelector), Names: in.Names}
}

// serviceKey returns nil for nil.
func (r workloadReader) serviceKey(p *field.Path, in *v1alpha1.ServiceReference) *policy.ObjectKey {
	if in == nil {
		return nil
	}
	r.needNamespace(p.Child("namespace"), in.Namespace != "")
	if in.Namespace != "" {
		r.format(p.Child("namespace"), in.Namespace, validation.IsDNS1123Label)
	}
	if in.Name == "" {
		r.add(p.Child("name"), "", "required; write the name of a Service")
	} else {
		r.format(p.Child("name"), in.Name, validation.IsDNS1123Label)
	}
	return &policy.ObjectKey{Namespace: cmp.Or(in.Namespace, r.out.Namespace), Name: in.Name}
}

func (r workloadReader) entity(p *field.Path, in v1alpha1.Entity) policy.Entity {
	out := policy.Entity(in)
	switch out {
	case "", policy.KubeAPIServer, policy.EntityNode, policy.World:
	default:
		r.add(p, string(in), "unknown entity; write KubeAPIServer, Node or World")
	}
	return out
}

func (r workloadReader) domainNames(p *field.Path, dir policy.Direction, in []v1alpha1.DomainName) []string {
	if len(in) == 0 {
		return nil
	}
	switch {
	case dir == policy.Ingress:
		r.add(p, string(in[0]), "only for egress; write ipBlock")
	case r.out.Mode == policy.Enforce:
		r.add(p, string(in[0]), "domain names are not enforced yet; write ipBlock, or mode: Audit in the policy's spec")
	}
	var out []string
	for i, name := range in {
		if !isDomainName(string(name)) {
			r.add(p.Index(i), string(name), "not a domain name in lower case; write one such as example.com or *.example.com")
		}
		out = append(out, string(name))
	}
	return out
}

// isDomainName holds the form that the API documents to the lengths of RFC 1035.
func isDomainName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(s, "*."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
