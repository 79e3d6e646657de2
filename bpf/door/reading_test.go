// SPDX-License-Identifier: Apache-2.0

package door

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/sluice-io/sluice/bpf/bpftest"
)

// A second reading of frames, written from the RFCs and the rules in words, to hold
// the programs' against. It knows no flows.

// packet is an IP packet, no later fragment, as its receiver reads it.
type packet struct {
	src, dst netip.Addr
	protocol uint8
	hops     uint8  // IPv6 only
	load     []byte // what the protocol's header begins
}

// mayPass says whether the fixture's restricted rules, which know of no flow, can
// let a frame leave the pod, or enter it.
func mayPass(b []byte, leaves bool) bool {
	if leaves && !bytes.Equal(b[6:12], bpftest.PodMAC()) {
		return false
	}
	rest := b[12:]
	for range 2 {
		if t := binary.BigEndian.Uint16(rest); t != 0x8100 && t != 0x88a8 {
			break
		}
		if len(rest) < 6 || binary.BigEndian.Uint16(rest[2:])&0xfff != 0 {
			return false // of a VLAN
		}
		rest = rest[4:]
	}
	var p *packet
	switch kind, rest := binary.BigEndian.Uint16(rest), rest[2:]; kind {
	case 0x0806:
		return !leaves || honestARP(rest)
	case 0x0800:
		p = readIPv4(rest)
	case 0x86dd:
		p = readIPv6(rest)
	}
	return p != nil && (p.isLink(leaves) || p.isGranted(leaves))
}

// honestARP: RFC 826 for Ethernet and IPv4, of the pod's own addresses.
func honestARP(b []byte) bool {
	if len(b) < 28 || !bytes.Equal(b[:6], []byte{0, 1, 8, 0, 6, 4}) || !bytes.Equal(b[8:14], bpftest.PodMAC()) {
		return false
	}
	sender := netip.AddrFrom4([4]byte(b[14:18]))
	return sender == pod4 || sender.IsUnspecified()
}

func readIPv4(b []byte) *packet {
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 {
		return nil
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = len(b) // a segment yet to be cut
	}
	if total > len(b) || head > total || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return nil
	}
	return &packet{src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])),
		protocol: b[9], load: b[head:total]}
}

func readIPv6(b []byte) *packet {
	if len(b) < 40 || b[0]>>4 != 6 {
		return nil
	}
	p := &packet{src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])),
		protocol: b[6], hops: b[7], load: b[40:]}
	if n := int(binary.BigEndian.Uint16(b[4:])); n > len(p.load) || p.src.Is4In6() || p.dst.Is4In6() {
		return nil
	} else if n != 0 {
		p.load = p.load[:n]
	}
	for {
		size := 8
		switch p.protocol {
		case 0, 43, 60, 135, 139, 140:
			if len(p.load) > 1 {
				size += int(p.load[1]) * 8
			}
		case 51:
			if len(p.load) > 1 {
				size += int(p.load[1])*4 + 8 - size
			}
		case 44:
			if len(p.load) > 3 && binary.BigEndian.Uint16(p.load[2:])&^7 != 0 {
				return nil // no first fragment
			}
		default:
			return p
		}
		if size > len(p.load) {
			return nil
		}
		p.protocol, p.load = p.load[0], p.load[size:]
	}
}

// isOwn says whether an address is one that the pod has by itself.
func isOwn(a netip.Addr) bool {
	b, mac := a.As16(), bpftest.PodMAC()
	ofMAC := a.Is6() && !a.IsMulticast() &&
		[8]byte(b[8:]) == [8]byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
	return a == pod4 || a == pod6 || ofMAC || (a.Is6() && a.IsLinkLocalUnicast())
}

// isGranted: friends may be reached, and may reach the pod, on 80/TCP and 53/UDP.
func (p *packet) isGranted(leaves bool) bool {
	own, peer := p.dst, p.src
	if leaves {
		own, peer = p.src, p.dst
	} else if own.IsMulticast() || own == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		own = pod4 // for everyone
	}
	if !isOwn(own) || (peer != friend4 && peer != friend6) {
		return false
	}
	switch p.protocol {
	case tcp:
		return len(p.load) >= 14 && binary.BigEndian.Uint16(p.load[2:]) == 80 // with its flags (RFC 1858)
	case udp:
		return len(p.load) >= 4 && binary.BigEndian.Uint16(p.load[2:]) == 53
	}
	return false
}

// isLink: neighbour discovery (RFC 4861) and listener reports (RFC 3810) that no
// router passes on, from the pod's own addresses and about them.
func (p *packet) isLink(leaves bool) bool {
	if p.protocol != icmp6 || len(p.load) < 8 || p.hops != 255 && p.hops != 1 {
		return false
	}
	kind := p.load[0]
	if leaves && !isOwn(p.src) && !p.src.IsUnspecified() {
		return false
	}
	switch kind {
	case 130, 131, 132, listenerReport:
		return p.hops == 1 && p.dst.IsMulticast()
	case routerSolicit:
	case routerAdvert:
		if leaves {
			return false
		}
	case solicit, advert:
		if len(p.load) < 24 {
			return false
		}
		target := netip.AddrFrom16([16]byte(p.load[8:24]))
		if leaves && kind == advert && !isOwn(target) {
			return false
		}
		if p.hops == 255 && len(p.load) <= 32 && (kind == advert || target == p.dst) {
			return true
		}
	default:
		return false
	}
	return p.hops == 255 && (p.dst.IsMulticast() || p.dst.IsLinkLocalUnicast())
}
