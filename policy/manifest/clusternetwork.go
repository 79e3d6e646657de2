// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	networkv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/sluice-io/sluice/policy"
)

// clusterNetworkPolicy is networkv1alpha2.ClusterNetworkPolicy, but that it tells
// a required field that is missing from one that is zero, and leaves peers to
// clusterPeers, which must see what they have beside the known fields.
type clusterNetworkPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Tier     networkv1alpha2.Tier `json:"tier"`
		Priority *int32               `json:"priority"`
		Subject  clusterPods          `json:"subject"`
		Ingress  []clusterIngressRule `json:"ingress"`
		Egress   []clusterEgressRule  `json:"egress"`
	} `json:"spec"`
	Status networkv1alpha2.ClusterNetworkPolicyStatus `json:"status"`
}

type clusterIngressRule struct {
	Name      string                                         `json:"name"`
	Action    networkv1alpha2.ClusterNetworkPolicyRuleAction `json:"action"`
	Peers     []json.RawMessage                              `json:"from"`
	Protocols []networkv1alpha2.ClusterNetworkPolicyProtocol `json:"protocols"`
}

type clusterEgressRule struct {
	Name      string                                         `json:"name"`
	Action    networkv1alpha2.ClusterNetworkPolicyRuleAction `json:"action"`
	Peers     []json.RawMessage                              `json:"to"`
	Protocols []networkv1alpha2.ClusterNetworkPolicyProtocol `json:"protocols"`
}

// clusterPods is a subject, and an ingress peer.
type clusterPods struct {
	Namespaces *metav1.LabelSelector `json:"namespaces"`
	Pods       *struct {
		NamespaceSelector metav1.LabelSelector  `json:"namespaceSelector"`
		PodSelector       *metav1.LabelSelector `json:"podSelector"`
	} `json:"pods"`
}

// maxItems is the API's bound of every list.
const maxItems = 25

func (c *checker) clusterNetworkPolicy(o *clusterNetworkPolicy) *policy.ClusterNetworkPolicy {
	spec := field.NewPath("spec")
	out := &policy.ClusterNetworkPolicy{Name: o.Name, Tier: policy.Tier(o.Spec.Tier)}
	switch out.Tier {
	case policy.Admin, policy.Baseline:
	case "":
		c.add(spec.Child("tier"), "", "required; write Admin or Baseline")
	default:
		c.add(spec.Child("tier"), string(out.Tier), "unknown tier; write Admin or Baseline")
	}
	if p := o.Spec.Priority; p == nil {
		c.add(spec.Child("priority"), "", "required; write a number from 0 to 1000")
	} else if out.Priority = int(*p); out.Priority < 0 || out.Priority > 1000 {
		c.add(spec.Child("priority"), strconv.Itoa(out.Priority), "not a priority; write a number from 0 to 1000")
	}
	c.subject(spec.Child("subject"), o.Spec.Subject, out)
	c.atMost(spec.Child("ingress"), len(o.Spec.Ingress))
	for i, r := range o.Spec.Ingress {
		p := spec.Child("ingress").Index(i)
		out.Rules[policy.Ingress] = append(out.Rules[policy.Ingress], c.clusterRule(p, policy.Ingress, clusterEgressRule(r)))
	}
	c.atMost(spec.Child("egress"), len(o.Spec.Egress))
	for i, r := range o.Spec.Egress {
		p := spec.Child("egress").Index(i)
		out.Rules[policy.Egress] = append(out.Rules[policy.Egress], c.clusterRule(p, policy.Egress, r))
	}
	return out
}

func (c *checker) atMost(p *field.Path, n int) {
	if n > maxItems {
		c.add(p, strconv.Itoa(n), "more than 25 entries; divide them among several lists")
	}
}

func (c *checker) subject(p *field.Path, in clusterPods, out *policy.ClusterNetworkPolicy) {
	if (in.Namespaces == nil) == (in.Pods == nil) {
		c.add(p, "", "write exactly one of namespaces and pods")
	}
	if peer := c.clusterPods(p, in); peer.Namespaces != nil {
		out.Namespaces = *peer.Namespaces
		if peer.Pods != nil {
			out.Pods = *peer.Pods
		}
	}
}

func (c *checker) clusterPods(p *field.Path, in clusterPods) policy.Peer {
	if in.Pods == nil {
		return policy.Peer{Namespaces: c.selector(p.Child("namespaces"), in.Namespaces)}
	}
	pods := p.Child("pods")
	if in.Pods.PodSelector == nil {
		c.add(pods.Child("podSelector"), "", "required; write {} for all pods of the namespaces")
	}
	return policy.Peer{
		Namespaces: c.selector(pods.Child("namespaceSelector"), &in.Pods.NamespaceSelector),
		Pods:       c.selector(pods.Child("podSelector"), in.Pods.PodSelector),
	}
}

// clusterRule reads rules of both directions: they differ by the name of Peers.
func (c *checker) clusterRule(p *field.Path, dir policy.Direction, in clusterEgressRule) policy.Rule {
	const maxName = 100
	if utf8.RuneCountInString(in.Name) > maxName {
		c.add(p.Child("name"), in.Name, "longer than 100 characters; write a shorter name")
	}
	out := policy.Rule{Action: policy.RuleAction(in.Action)}
	switch out.Action {
	case policy.Accept, policy.Deny, policy.Pass:
	case "":
		c.add(p.Child("action"), "", "required; write Accept, Deny or Pass")
	default:
		c.add(p.Child("action"), string(in.Action), "unknown action; write Accept, Deny or Pass")
	}
	c.clusterPeers(p, dir, in.Peers, &out)
	c.clusterProtocols(p.Child("protocols"), in.Protocols, &out)
	return out
}
