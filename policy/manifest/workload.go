// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"path"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/v1alpha1"
)

func (c *checker) workloadPolicy(o *v1alpha1.WorkloadPolicy) *policy.WorkloadPolicy {
	spec := field.NewPath("spec")
	in := &o.Spec
	out := &policy.WorkloadPolicy{
		Namespace:    o.Namespace,
		Name:         o.Name,
		Pods:         *c.selector(spec.Child("podSelector"), &in.PodSelector),
		Mode:         policy.Enforce,
		DenyResponse: policy.Errno,
		Escalation:   c.escalation(spec.Child("escalation"), in.Escalation),
	}
	switch policy.Mode(in.Mode) {
	case "", policy.Enforce:
	case policy.Audit:
		out.Mode = policy.Audit
	default:
		c.add(spec.Child("mode"), string(in.Mode), "unknown mode; write Enforce or Audit")
	}
	switch policy.DenyResponse(in.DenyResponse) {
	case "", policy.Errno:
	case policy.Drop:
		out.DenyResponse = policy.Drop
	default:
		c.add(spec.Child("denyResponse"), string(in.DenyResponse), "unknown response; write Errno or Drop")
	}
	if in.Egress != nil {
		out.Isolates[policy.Egress] = true
		for i, r := range in.Egress.Allow {
			p := spec.Child("egress", "allow").Index(i)
			out.Rules[policy.Egress] = append(out.Rules[policy.Egress], c.egressRule(p, r))
		}
	}
	c.refuse(in.Fallback != "" && in.Fallback != "Observe", spec.Child("fallback"), string(in.Fallback))
	c.refuse(in.Ingress != nil, spec.Child("ingress"), "")
	c.refuse(in.Exec != nil, spec.Child("exec"), "")
	c.refuse(in.Files != nil, spec.Child("files"), "")
	c.refuse(in.Capabilities != nil, spec.Child("capabilities"), "")
	return out
}

func (c *checker) egressRule(p *field.Path, in v1alpha1.EgressRule) policy.Rule {
	var out policy.Rule
	for i, peer := range in.To {
		out.Peers = append(out.Peers, c.workloadPeer(p.Child("to").Index(i), peer))
	}
	for i, port := range in.Ports {
		out.Ports = append(out.Ports, c.port(p.Child("ports").Index(i), networkingv1.NetworkPolicyPort(port)))
	}
	for i, program := range in.Processes {
		out.Processes = append(out.Processes, c.process(p.Child("processes").Index(i), program))
	}
	c.refuse(in.TLS != nil, p.Child("tls"), "")
	return out
}

func (c *checker) workloadPeer(p *field.Path, in v1alpha1.Peer) policy.Peer {
	before := len(c.errs)
	c.refuse(len(in.DomainNames) > 0, p.Child("domainNames"), "")
	c.refuse(in.Service != nil, p.Child("service"), "")
	c.refuse(in.ServiceAccount != nil, p.Child("serviceAccount"), "")
	c.refuse(in.Entity != "", p.Child("entity"), string(in.Entity))
	peer := networkingv1.NetworkPolicyPeer{
		PodSelector:       in.PodSelector,
		NamespaceSelector: in.NamespaceSelector,
		IPBlock:           in.IPBlock,
	}
	if len(c.errs) > before && peer == (networkingv1.NetworkPolicyPeer{}) {
		return policy.Peer{} // not empty as written
	}
	return c.peer(p, peer)
}

func (c *checker) process(p *field.Path, in v1alpha1.Program) policy.Process {
	c.refuse(in.Interpreter != "", p.Child("interpreter"), string(in.Interpreter))
	c.programPath(p.Child("path"), string(in.Path))
	return policy.Process{Path: string(in.Path)}
}

// programPath asks for the one spelling that a resolved path has, so that a path
// that can never match is an error.
func (c *checker) programPath(p *field.Path, s string) {
	const maxLength = 255 // what the kernel side keeps of a path
	switch {
	case s == "":
		c.add(p, "", "required; write the program's absolute path inside the container")
	case strings.Contains(s, "*"):
		c.add(p, s, "patterns are "+notSupported+"write each program's path")
	case !path.IsAbs(s) || path.Clean(s) != s || s == "/" || strings.Contains(s, "\x00"):
		c.add(p, s, "not an absolute path of a file without //, . and ..; write one such as /usr/bin/curl")
	case len(s) > maxLength:
		c.add(p, s, "longer than 255 bytes; write a shorter path")
	}
}

func (c *checker) escalation(p *field.Path, in *v1alpha1.EscalationSection) []policy.EscalationRule {
	if in == nil {
		return nil
	}
	c.refuse(in.Default != "" && in.Default != v1alpha1.EscalationAction(policy.Ignore), p.Child("default"), string(in.Default))
	var out []policy.EscalationRule
	for i, r := range in.Rules {
		out = append(out, c.escalationRule(p.Child("rules").Index(i), r))
	}
	return out
}

func (c *checker) escalationRule(p *field.Path, in v1alpha1.EscalationRule) policy.EscalationRule {
	classes := p.Child("classes")
	if len(in.Classes) == 0 {
		c.add(classes, "", "required; write Privileges")
	}
	var out policy.EscalationRule
	for i, class := range in.Classes {
		switch {
		case class != v1alpha1.EscalationClass(policy.Privileges):
			c.refuse(true, classes.Index(i), string(class))
		case slices.Contains(in.Classes[:i], class):
			c.add(classes.Index(i), string(class), "written more than once; remove all but one")
		}
		out.Classes = append(out.Classes, policy.Class(class))
	}
	out.Action = policy.Action(in.Action)
	switch out.Action {
	case policy.Kill, policy.Ignore:
	case "":
		c.add(p.Child("action"), "", "required; write Kill or Ignore")
	default:
		c.add(p.Child("action"), string(in.Action), notSupported+"write Kill or Ignore")
	}
	c.refuse(len(in.Allow) > 0, p.Child("allow"), "")
	c.refuse(in.Quarantine, p.Child("quarantine"), "true")
	return out
}
