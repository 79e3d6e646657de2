// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	networkv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/sluice-io/sluice/policy"
)

// clusterPeer is an egress peer.
type clusterPeer struct {
	clusterPods `json:",inline"`
	Nodes       *metav1.LabelSelector `json:"nodes"`
	Networks    []string              `json:"networks"`
	DomainNames []string              `json:"domainNames"`
}

// known counts the fields that are written.
func (in *clusterPeer) known() (n int) {
	for _, written := range []bool{in.Namespaces != nil, in.Pods != nil, in.Nodes != nil, in.Networks != nil, in.DomainNames != nil} {
		if written {
			n++
		}
	}
	return n
}

func (c *checker) clusterPeers(rule *field.Path, dir policy.Direction, peers []json.RawMessage, out *policy.Rule) {
	p := rule.Child("from")
	if dir == policy.Egress {
		p = rule.Child("to")
	}
	if len(peers) == 0 {
		c.add(p, "", "required; write at least one peer")
	}
	c.atMost(p, len(peers))
	for i, data := range peers {
		in, ok := c.decodePeer(p.Index(i), dir, data)
		switch {
		case !ok:
		case in.known() == 0:
			out.Unknown = true
		default:
			out.Peers = append(out.Peers, c.clusterPeer(p.Index(i), in, out.Action)...)
		}
	}
}

// decodePeer tolerates what it does not know in a peer without a known field: so
// looks a peer of a later version of the API.
func (c *checker) decodePeer(p *field.Path, dir policy.Direction, data []byte) (in clusterPeer, ok bool) {
	object := any(&in)
	if dir == policy.Ingress {
		object = &in.clusterPods
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(data, object) == nil && in.known() == 0 {
		return in, true
	}
	return in, c.decode(p, data, object)
}

// clusterPeer makes a peer of each network.
func (c *checker) clusterPeer(p *field.Path, in clusterPeer, action policy.RuleAction) []policy.Peer {
	if in.known() > 1 {
		c.add(p, "", "more than one field; make each a peer of its own")
	}
	var out []policy.Peer
	if in.Namespaces != nil || in.Pods != nil {
		out = append(out, c.clusterPods(p, in.clusterPods))
	}
	if in.Nodes != nil {
		out = append(out, policy.Peer{Nodes: c.selector(p.Child("nodes"), in.Nodes)})
	}
	if in.Networks != nil {
		out = append(out, c.networks(p.Child("networks"), in.Networks)...)
	}
	if in.DomainNames != nil {
		reason := "domain names are not enforced yet; write networks"
		if action != policy.Accept {
			reason = "only for action Accept; write networks"
		}
		c.add(p.Child("domainNames"), "", reason)
	}
	return out
}

func (c *checker) networks(p *field.Path, in []string) []policy.Peer {
	if len(in) == 0 {
		c.add(p, "", "empty; write at least one CIDR")
	}
	c.atMost(p, len(in))
	var out []policy.Peer
	for i, s := range in {
		if slices.Contains(in[:i], s) {
			c.add(p.Index(i), s, "written more than once; remove all but one")
		}
		cidr, _ := c.cidr(p.Index(i), s)
		out = append(out, policy.Peer{IPBlock: &policy.IPBlock{CIDR: cidr}})
	}
	return out
}

func (c *checker) clusterProtocols(p *field.Path, in []networkv1alpha2.ClusterNetworkPolicyProtocol, out *policy.Rule) {
	if in != nil && len(in) == 0 {
		c.add(p, "", "empty; write at least one protocol, or remove it for all")
	}
	c.atMost(p, len(in))
	portless := func(peer policy.Peer) bool { return peer.IPBlock != nil || peer.Nodes != nil }
	for i, protocol := range in {
		if protocol.DestinationNamedPort != "" && slices.ContainsFunc(out.Peers, portless) {
			c.add(p.Index(i).Child("destinationNamedPort"), protocol.DestinationNamedPort,
				"networks and nodes have no named ports; write the number, or make a rule of its own for pods")
		}
		out.Ports = append(out.Ports, c.clusterProtocol(p.Index(i), protocol))
	}
}

func (c *checker) clusterProtocol(p *field.Path, in networkv1alpha2.ClusterNetworkPolicyProtocol) policy.Port {
	var out policy.Port
	n := 0
	if name := in.DestinationNamedPort; name != "" {
		c.format(p.Child("destinationNamedPort"), name, validation.IsValidPortName)
		out, n = policy.Port{Protocol: policy.AnyProtocol, Name: name}, n+1
	}
	if in.TCP != nil {
		out, n = c.clusterPort(p.Child("tcp"), policy.TCP, in.TCP.DestinationPort), n+1
	}
	if in.UDP != nil {
		out, n = c.clusterPort(p.Child("udp"), policy.UDP, in.UDP.DestinationPort), n+1
	}
	if in.SCTP != nil {
		out, n = c.clusterPort(p.Child("sctp"), policy.SCTP, in.SCTP.DestinationPort), n+1
	}
	if n != 1 {
		c.add(p, "", "write exactly one of tcp, udp, sctp and destinationNamedPort")
	}
	return out
}

func (c *checker) clusterPort(p *field.Path, protocol policy.Protocol, in *networkv1alpha2.Port) policy.Port {
	out := policy.Port{Protocol: protocol}
	p = p.Child("destinationPort")
	switch {
	case in == nil:
		c.add(p, "", "required; write number or range")
	case (in.Number != 0) == (in.Range != nil):
		c.add(p, "", "write exactly one of number, from 1 to 65535, and range")
	case in.Range == nil:
		out.Number = c.portNumber(p.Child("number"), in.Number)
	default:
		out.Number = c.portNumber(p.Child("range", "start"), in.Range.Start)
		out.End = c.portNumber(p.Child("range", "end"), in.Range.End)
		if in.Range.Start >= in.Range.End {
			c.add(p.Child("range"), "", "start is not below end; write a range of several ports, or number")
		}
	}
	return out
}
