// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
)

func (c *checker) protocol(p *field.Path, in corev1.Protocol) policy.Protocol {
	switch in {
	case corev1.ProtocolTCP:
		return policy.TCP
	case corev1.ProtocolUDP:
		return policy.UDP
	case corev1.ProtocolSCTP:
		return policy.SCTP
	}
	c.add(p, string(in), "unknown protocol; write TCP, UDP or SCTP")
	return policy.AnyProtocol
}

func (c *checker) portNumber(p *field.Path, n int32) uint16 {
	if n < 1 || n > 65535 {
		c.add(p, strconv.Itoa(int(n)), "not a port; write a number from 1 to 65535")
	}
	return uint16(n)
}

// port reads an entry of a rule's ports.
func (c *checker) port(p *field.Path, in networkingv1.NetworkPolicyPort) policy.Port {
	out := policy.Port{Protocol: policy.TCP}
	if in.Protocol != nil {
		out.Protocol = c.protocol(p.Child("protocol"), *in.Protocol)
	}
	if in.Port != nil {
		if at := p.Child("port"); in.Port.Type == intstr.Int {
			out.Number = c.portNumber(at, in.Port.IntVal)
		} else {
			out.Name = c.portName(at, in.Port.StrVal)
		}
	}
	if in.EndPort != nil {
		out.End = c.endPort(p.Child("endPort"), in.Port, *in.EndPort)
	}
	return out
}

func (c *checker) portName(p *field.Path, name string) string {
	if msgs := validation.IsValidPortName(name); len(msgs) > 0 {
		c.add(p, name, strings.Join(msgs, "; ")+"; write a container port's name, or a number without quotes")
	}
	return name
}

// endPort returns 0 for the end of a range of one port.
func (c *checker) endPort(p *field.Path, port *intstr.IntOrString, end int32) uint16 {
	value := strconv.Itoa(int(end))
	switch {
	case port == nil || port.Type != intstr.Int:
		c.add(p, value, "goes with a port number only; write port as a number, or remove endPort")
	case end < port.IntVal || end > 65535:
		c.add(p, value, "not the end of a range; write a number from port to 65535")
	case end > port.IntVal:
		return uint16(end)
	}
	return 0
}
