// SPDX-License-Identifier: Apache-2.0

package bpftest

import (
	"cmp"
	"fmt"
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
	Reply            bool             // ICMP: echo reply
	MAC              net.HardwareAddr // source; empty: PodMAC
	Hops             uint8            // 0: 64
	Bare             bool             // no transport header, or one that Payload holds
	Payload          []byte
}

// PodMAC is the source of a frame that names none.
func PodMAC() net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, 1} }

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
	b, err := f.Build()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Build builds the frame outside a test.
func (f Frame) Build() ([]byte, error) {
	var parts []gopacket.SerializableLayer
	eth := &layers.Ethernet{SrcMAC: f.MAC, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
	if len(f.MAC) == 0 {
		eth.SrcMAC = PodMAC()
	}
	hops := cmp.Or(f.Hops, 64)
	var network gopacket.NetworkLayer
	if f.Src.Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		ip := &layers.IPv4{Version: 4, TTL: hops, Protocol: layers.IPProtocol(f.Protocol), SrcIP: f.Src.AsSlice(), DstIP: f.Dst.AsSlice()}
		network = ip
		parts = append(parts, eth, ip)
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: hops, NextHeader: layers.IPProtocol(f.Protocol), SrcIP: f.Src.AsSlice(), DstIP: f.Dst.AsSlice()}
		network = ip
		parts = append(parts, eth, ip)
	}
	transport, err := f.transport(network)
	if err != nil {
		return nil, fmt.Errorf("build frame: %w", err)
	}
	parts = append(parts, transport...)
	parts = append(parts, gopacket.Payload(f.Payload))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		return nil, fmt.Errorf("build frame: %w", err)
	}
	return buf.Bytes(), nil
}

func (f Frame) transport(network gopacket.NetworkLayer) ([]gopacket.SerializableLayer, error) {
	if f.Bare {
		return nil, nil
	}
	switch layers.IPProtocol(f.Protocol) {
	case layers.IPProtocolTCP:
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(f.SrcPort), DstPort: layers.TCPPort(f.DstPort),
			SYN: f.SYN, ACK: f.ACK, FIN: f.FIN, RST: f.RST, Window: 1024,
		}
		return []gopacket.SerializableLayer{tcp}, tcp.SetNetworkLayerForChecksum(network)
	case layers.IPProtocolUDP:
		udp := &layers.UDP{SrcPort: layers.UDPPort(f.SrcPort), DstPort: layers.UDPPort(f.DstPort)}
		return []gopacket.SerializableLayer{udp}, udp.SetNetworkLayerForChecksum(network)
	case layers.IPProtocolSCTP:
		return []gopacket.SerializableLayer{&layers.SCTP{SrcPort: layers.SCTPPort(f.SrcPort), DstPort: layers.SCTPPort(f.DstPort)}}, nil
	case layers.IPProtocolICMPv4:
		kind := layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)
		if f.Reply {
			kind = layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0)
		}
		return []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: kind, Id: f.SrcPort, Seq: 1}}, nil
	case layers.IPProtocolICMPv6:
		kind := layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)
		if f.Reply {
			kind = layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoReply, 0)
		}
		icmp := &layers.ICMPv6{TypeCode: kind}
		echo := &layers.ICMPv6Echo{Identifier: f.SrcPort, SeqNumber: 1}
		return []gopacket.SerializableLayer{icmp, echo}, icmp.SetNetworkLayerForChecksum(network)
	}
	return nil, nil
}
