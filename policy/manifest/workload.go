// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/v1alpha1"
)

func (c *checker) workloadPolicy(o *v1alpha1.WorkloadPolicy) *policy.WorkloadPolicy {
	r := workloadReader{c, &policy.WorkloadPolicy{Namespace: o.Namespace, Name: o.Name}}
	r.spec(&o.Spec)
	return r.out
}

func (c *checker) clusterWorkloadPolicy(o *v1alpha1.ClusterWorkloadPolicy) *policy.WorkloadPolicy {
	spec := field.NewPath("spec")
	r := workloadReader{c, &policy.WorkloadPolicy{
		Name:       o.Name,
		Namespaces: c.selector(spec.Child("namespaceSelector"), &o.Spec.NamespaceSelector),
	}}
	r.spec(&o.Spec.WorkloadPolicySpec)
	for i, s := range o.Spec.AllowedSources {
		cidr, _ := c.cidr(spec.Child("allowedSources").Index(i), s)
		r.out.AllowedSources = append(r.out.AllowedSources, cidr)
	}
	return r.out
}

// workloadReader reads what the two kinds share. Some of it depends on what is
// read already: whose namespace and which mode.
type workloadReader struct {
	*checker
	out *policy.WorkloadPolicy
}

func (r workloadReader) spec(in *v1alpha1.WorkloadPolicySpec) {
	p := field.NewPath("spec")
	r.out.Pods = *r.selector(p.Child("podSelector"), &in.PodSelector)
	r.modes(p, in)
	if in.Egress != nil {
		r.out.Isolates[policy.Egress] = true
		for i, rule := range in.Egress.Allow {
			at := p.Child("egress", "allow").Index(i)
			r.refuse(rule.TLS != nil, at.Child("tls"), "")
			r.workloadRule(at, policy.Egress, rule.To, rule.Ports, rule.Processes)
		}
	}
	if in.Ingress != nil {
		r.out.Isolates[policy.Ingress] = true
		for i, rule := range in.Ingress.Allow {
			r.workloadRule(p.Child("ingress", "allow").Index(i), policy.Ingress, rule.From, rule.Ports, rule.Processes)
		}
	}
	r.out.Escalation = r.escalation(p.Child("escalation"), in.Escalation)
	r.out.Exec = r.exec(p.Child("exec"), in.Exec)
	r.out.Files = r.files(p.Child("files"), in.Files)
	r.out.Capabilities = r.capabilities(p.Child("capabilities"), in.Capabilities)
}

func (r workloadReader) modes(p *field.Path, in *v1alpha1.WorkloadPolicySpec) {
	r.out.Mode, r.out.DenyResponse, r.out.Fallback = policy.Enforce, policy.Errno, policy.Observe
	switch policy.Mode(in.Mode) {
	case "", policy.Enforce:
	case policy.Audit:
		r.out.Mode = policy.Audit
	default:
		r.add(p.Child("mode"), string(in.Mode), "unknown mode; write Enforce or Audit")
	}
	switch policy.DenyResponse(in.DenyResponse) {
	case "", policy.Errno:
	case policy.Drop:
		r.out.DenyResponse = policy.Drop
	default:
		r.add(p.Child("denyResponse"), string(in.DenyResponse), "unknown response; write Errno or Drop")
	}
	switch f := policy.Fallback(in.Fallback); f {
	case "", policy.Observe:
	case policy.FallbackKill, policy.Close:
		r.out.Fallback = f
	default:
		r.add(p.Child("fallback"), string(in.Fallback), "unknown fallback; write Observe, Kill or Close")
	}
}

func (r workloadReader) workloadRule(p *field.Path, dir policy.Direction, peers []v1alpha1.Peer, ports []v1alpha1.Port, programs []v1alpha1.Program) {
	var out policy.Rule
	list := p.Child("from")
	if dir == policy.Egress {
		list = p.Child("to")
	}
	for i, peer := range peers {
		out.Peers = append(out.Peers, r.workloadPeer(list.Index(i), dir, peer))
	}
	for i, port := range ports {
		out.Ports = append(out.Ports, r.port(p.Child("ports").Index(i), networkingv1.NetworkPolicyPort(port)))
	}
	out.Processes = r.programs(p.Child("processes"), programs)
	r.out.Rules[dir] = append(r.out.Rules[dir], out)
}
