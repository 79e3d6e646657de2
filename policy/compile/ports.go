// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// everyPort covers every port of every protocol.
var everyPort = PortKey{}

// portKeys are the ports of a list without names, as few prefixes as may be,
// whatever the spelling: a range costs at most 30.
func portKeys(ports []policy.Port) []PortKey {
	ports = slices.Clone(ports)
	for i, p := range ports {
		switch {
		case p.Protocol == policy.AnyProtocol:
			return []PortKey{everyPort}
		case p.Number == 0:
			ports[i].End = 1<<16 - 1
		case p.End == 0:
			ports[i].End = p.Number
		}
	}
	slices.SortFunc(ports, func(a, b policy.Port) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
	})
	var out []PortKey
	for i := 0; i < len(ports); {
		all := ports[i]
		for i++; i < len(ports) && ports[i].Protocol == all.Protocol && int(ports[i].Number) <= int(all.End)+1; i++ {
			all.End = max(all.End, ports[i].End)
		}
		out = appendRange(out, all)
	}
	return out
}

// appendRange appends the prefixes of the ports from Number to End.
func appendRange(out []PortKey, p policy.Port) []PortKey {
	for begin, end := int(p.Number), int(p.End)+1; begin < end; {
		free := min(bits.TrailingZeros32(uint32(begin|1<<16)), bits.Len32(uint32(end-begin))-1)
		out = append(out, PortKey{Protocol: p.Protocol, Bits: uint8(16 - free), Port: uint16(begin)})
		begin += 1 << free
	}
	return out
}

func comparePorts(a, b PortKey) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Bits, b.Bits), cmp.Compare(a.Port, b.Port))
}

// named says whether a container port is what a port name of a rule means.
func named(p policy.Port, c policy.ContainerPort) bool {
	return c.Name == p.Name && (p.Protocol == policy.AnyProtocol || p.Protocol == c.Protocol)
}

// numbers are the numbers of names on a pod.
func numbers(names []policy.Port, pod []policy.ContainerPort) []policy.Port {
	var out []policy.Port
	for _, n := range names {
		for _, c := range pod {
			if named(n, c) {
				out = append(out, policy.Port{Protocol: c.Protocol, Number: c.Number})
			}
		}
	}
	return out
}

func portByNumber(p policy.Port) PortKey {
	return PortKey{Protocol: p.Protocol, Bits: 16, Port: p.Number}
}
