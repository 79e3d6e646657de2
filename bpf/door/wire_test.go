// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
)

const (
	ethLen = 14
	ip4Len = 20
	ip6Len = 40

	icmp6 = 58
	sctp  = 132
)

// families are the pod and its friend in IPv4 and IPv6.
var families = []struct {
	name           string
	pod, friend    netip.Addr
	podNet, nobody netip.Addr // another address near the pod; one that no rule names
	ping           uint8      // its ICMP
}{
	{"IPv4", pod4, friend4, netip.MustParseAddr("10.1.0.9"), stranger, icmp},
	{"IPv6", pod6, friend6, netip.MustParseAddr("fd00::9"), netip.MustParseAddr("2001:db8::1"), icmp6},
}

func isV6(b []byte) bool { return b[12] == 0x86 && b[13] == 0xdd }

// piece is a fragment of a frame: bytes from to to of what follows its IP header.
func piece(b []byte, id uint32, from, to int, more bool) []byte {
	offset := uint16(from)
	if isV6(b) {
		if more {
			offset |= 1
		}
		h := binary.BigEndian.AppendUint16([]byte{b[ethLen+6], 0}, offset)
		h = binary.BigEndian.AppendUint32(h, id)
		out := append([]byte{}, b[:ethLen+ip6Len]...)
		out[ethLen+6] = 44
		binary.BigEndian.PutUint16(out[ethLen+4:], uint16(8+to-from))
		return append(append(out, h...), b[ethLen+ip6Len+from:ethLen+ip6Len+to]...)
	}
	offset /= 8
	if more {
		offset |= 0x2000
	}
	out := append([]byte{}, b[:ethLen+ip4Len]...)
	binary.BigEndian.PutUint16(out[ethLen+2:], uint16(ip4Len+to-from))
	binary.BigEndian.PutUint16(out[ethLen+4:], uint16(id))
	binary.BigEndian.PutUint16(out[ethLen+6:], offset)
	return append(out, b[ethLen+ip4Len+from:ethLen+ip4Len+to]...)
}

// extension is an IPv6 extension header; its first byte is set by extend.
type extension struct {
	kind uint8
	body []byte
}

// plain is an extension of 8 * (1 + units) bytes, filled with PadN.
func plain(kind, units uint8) extension {
	body := make([]byte, 8*(1+int(units)))
	body[1], body[2], body[3] = units, 1, uint8(len(body)-4)
	return extension{kind, body}
}

// auth is an authentication header, whose length counts in words.
func auth() extension {
	return extension{51, append([]byte{0, 4}, make([]byte, 22)...)}
}

// atomic is a fragment header on a whole datagram.
func atomic() extension { return extension{44, []byte{0, 0, 0, 0, 0, 0, 0, 1}} }

// extend puts extensions between the IPv6 header of a frame and what follows it.
func extend(b []byte, headers ...extension) []byte {
	out := append([]byte{}, b[:ethLen+ip6Len]...)
	next := ethLen + 6
	last := b[next]
	for _, h := range headers {
		out[next] = h.kind
		next = len(out)
		out = append(out, h.body...)
	}
	out[next] = last
	out = append(out, b[ethLen+ip6Len:]...)
	binary.BigEndian.PutUint16(out[ethLen+4:], uint16(len(out)-ethLen-ip6Len))
	return out
}

// options puts IPv4 options, a multiple of four bytes, behind the header of a frame.
func options(b []byte, opts ...byte) []byte {
	out := append(append([]byte{}, b[:ethLen+ip4Len]...), opts...)
	out = append(out, b[ethLen+ip4Len:]...)
	out[ethLen] = 0x40 | uint8((ip4Len+len(opts))/4)
	binary.BigEndian.PutUint16(out[ethLen+2:], uint16(len(out)-ethLen))
	return out
}

// tag puts a VLAN tag before the frame's type.
func tag(b []byte, protocol, vlan uint16) []byte {
	out := append([]byte{}, b[:12]...)
	out = binary.BigEndian.AppendUint16(out, protocol)
	out = binary.BigEndian.AppendUint16(out, vlan)
	return append(out, b[12:]...)
}

// message is an ICMP message of any type; body follows its checksum.
func message(src, dst netip.Addr, kind, code, hops uint8, body []byte) bpftest.Frame {
	protocol := uint8(icmp)
	if src.Is6() {
		protocol = icmp6
	}
	return bpftest.Frame{
		Src: src, Dst: dst, Protocol: protocol, Hops: hops, Bare: true,
		Payload: append([]byte{kind, code, 0, 0}, body...),
	}
}

// quoting is an ICMP message about a frame, of which it holds the first n bytes.
func quoting(tb testing.TB, src, dst netip.Addr, kind, code uint8, about bpftest.Frame, n int) bpftest.Frame {
	tb.Helper()
	return message(src, dst, kind, code, 64, append(make([]byte, 4), about.Bytes(tb)[ethLen:ethLen+n]...))
}
