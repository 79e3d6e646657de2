// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluice-io/sluice/policy"
)

// Query is a connection to trace.
type Query struct {
	From, To End
	Port     Port
	Process  string // of the source pod; "" if unknown
	Listener string // of the destination pod; "" if unknown
}

// End is one end of a connection; one of its fields is set.
type End struct {
	Addr    netip.Addr // unmapped
	Pod     policy.PodKey
	Service policy.ObjectKey
}

// ParseEnd reads an address, NAMESPACE/POD or service/NAMESPACE/NAME.
func ParseEnd(s string) (End, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return End{Addr: addr.Unmap()}, nil
	}
	wrong := fmt.Errorf("%q: write NAMESPACE/POD, an address such as 10.0.0.1, or service/NAMESPACE/NAME", s)
	parts := strings.Split(s, "/")
	service := len(parts) == 3 && parts[0] == "service"
	if service {
		parts = parts[1:]
	}
	if len(parts) != 2 || validation.IsDNS1123Label(parts[0]) != nil || validation.IsDNS1123Subdomain(parts[1]) != nil {
		return End{}, wrong
	}
	if service {
		return End{Service: policy.ObjectKey{Namespace: parts[0], Name: parts[1]}}, nil
	}
	return End{Pod: policy.PodKey{Namespace: parts[0], Name: parts[1]}}, nil
}

// Port is a destination's port, by number or by name.
type Port struct {
	Protocol policy.Protocol // AnyProtocol with a Name alone; ICMP is that of either family
	Number   uint16          // 0 for ICMP and with a Name
	Name     string
}

// ParsePort reads NUMBER[/PROTOCOL], NAME[/PROTOCOL] or ICMP. A number alone is TCP's.
func ParsePort(s string) (Port, error) {
	if strings.EqualFold(s, "ICMP") || strings.EqualFold(s, "ICMPv6") {
		return Port{Protocol: policy.ICMP}, nil
	}
	wrong := fmt.Errorf("%q: write a port such as 443, 53/UDP or http (TCP, UDP or SCTP), or ICMP", s)
	port, protocol, given := strings.Cut(s, "/")
	var out Port
	switch strings.ToUpper(protocol) {
	case "TCP":
		out.Protocol = policy.TCP
	case "UDP":
		out.Protocol = policy.UDP
	case "SCTP":
		out.Protocol = policy.SCTP
	default:
		if given {
			return Port{}, wrong
		}
	}
	if number, err := strconv.ParseUint(port, 10, 16); err == nil && number > 0 {
		out.Number = uint16(number)
		if !given {
			out.Protocol = policy.TCP
		}
		return out, nil
	}
	if validation.IsValidPortName(port) != nil {
		return Port{}, wrong
	}
	out.Name = port
	return out, nil
}

// String is as ParsePort reads it.
func (p Port) String() string {
	port := p.Name
	if p.Number != 0 {
		port = strconv.Itoa(int(p.Number))
	}
	switch {
	case port == "":
		return protocolName(p.Protocol)
	case p.Protocol == policy.AnyProtocol:
		return port
	}
	return port + "/" + protocolName(p.Protocol)
}

// protocolName is as in flows.
func protocolName(p policy.Protocol) string {
	switch p {
	case policy.ICMP:
		return "ICMP"
	case policy.TCP:
		return "TCP"
	case policy.UDP:
		return "UDP"
	case policy.ICMPv6:
		return "ICMPv6"
	case policy.SCTP:
		return "SCTP"
	}
	return strconv.Itoa(int(p))
}
