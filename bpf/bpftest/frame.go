// SPDX-License-Identifier: Apache-2.0

package bpftest

import (
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Frame describes an Ethernet frame to build.
type Frame struct {
	Src, Dst         netip.Addr
	Protocol         uint8
	SrcPort, DstPort uint16 // ICMP: SrcPort is the echo identifier
	SYN, ACK, FIN    bool
	RST              bool
	Reply            bool // ICMP: echo reply
	Payload          []byte
}

// Reverse is the frame that answers f, without its flags.
func (f Frame) Reverse() Frame {
	r := Frame{Src: f.Dst, Dst: f.Src, Protocol: f.Protocol, SrcPort: f.DstPort, DstPort: f.SrcPort}
	if f.Protocol == 1 || f.Protocol == 58 {
		r.SrcPort, r.DstPort, r.Reply = f.SrcPort, f.DstPort, !f.Reply
	}
	return r
}

// Bytes builds the frame.
func (f Frame) Bytes(tb testing.TB) []byte {
	tb.Helper()
	var parts []gopacket.SerializableLayer
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
	var network gopacket.NetworkLayer
	if f.Src.Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocol(f.Protocol), SrcIP: f.Src.AsSlice(), DstIP: f.Dst.AsSlice()}
		network = ip
		parts = append(parts, eth, ip)
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocol(f.Protocol), SrcIP: f.Src.AsSlice(), DstIP: f.Dst.AsSlice()}
		network = ip
		parts = append(parts, eth, ip)
	}
	parts = append(parts, f.transport(tb, network)...)
	parts = append(parts, gopacket.Payload(f.Payload))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		tb.Fatalf("build frame: %v", err)
	}
	return buf.Bytes()
}

func (f Frame) transport(tb testing.TB, network gopacket.NetworkLayer) []gopacket.SerializableLayer {
	tb.Helper()
	switch layers.IPProtocol(f.Protocol) {
	case layers.IPProtocolTCP:
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(f.SrcPort), DstPort: layers.TCPPort(f.DstPort),
			SYN: f.SYN, ACK: f.ACK, FIN: f.FIN, RST: f.RST, Window: 1024,
		}
		check(tb, tcp.SetNetworkLayerForChecksum(network))
		return []gopacket.SerializableLayer{tcp}
	case layers.IPProtocolUDP:
		udp := &layers.UDP{SrcPort: layers.UDPPort(f.SrcPort), DstPort: layers.UDPPort(f.DstPort)}
		check(tb, udp.SetNetworkLayerForChecksum(network))
		return []gopacket.SerializableLayer{udp}
	case layers.IPProtocolSCTP:
		return []gopacket.SerializableLayer{&layers.SCTP{SrcPort: layers.SCTPPort(f.SrcPort), DstPort: layers.SCTPPort(f.DstPort)}}
	case layers.IPProtocolICMPv4:
		kind := layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)
		if f.Reply {
			kind = layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0)
		}
		return []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: kind, Id: f.SrcPort, Seq: 1}}
	case layers.IPProtocolICMPv6:
		kind := layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)
		if f.Reply {
			kind = layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoReply, 0)
		}
		icmp := &layers.ICMPv6{TypeCode: kind}
		check(tb, icmp.SetNetworkLayerForChecksum(network))
		return []gopacket.SerializableLayer{icmp, &layers.ICMPv6Echo{Identifier: f.SrcPort, SeqNumber: 1}}
	}
	return nil
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("build frame: %v", err)
	}
}
