// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net"
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

func foreignMAC() net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, 7} }

var (
	linkLocal = netip.MustParseAddr("fe80::2")
	// bySLAAC are addresses that the pod's MAC makes (RFC 4291, appendix A).
	bySLAAC = netip.MustParseAddr("2001:db8:1::ff:fe00:1")
	// mapped are the pod's and its friend's IPv4 addresses in an IPv6 header.
	mapped       = netip.AddrFrom16(pod4.As16())
	mappedFriend = netip.AddrFrom16(friend4.As16())
)

// From a pod that nothing isolates: only its own addresses leave, or enter.
func TestOwnAddresses(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	nobody6 := families[1].nobody
	for src, want := range map[netip.Addr]bool{
		pod4: true, friend4: false, netip.MustParseAddr("127.0.0.1"): false,
		netip.MustParseAddr("224.0.0.1"): false, netip.MustParseAddr("255.255.255.255"): false,
	} {
		f.want("from "+src.String(), f.leave(syn(src, stranger, 1000, 80)), want)
		f.want("echo from "+src.String(), f.leave(bpftest.Frame{Src: src, Dst: stranger, Protocol: icmp}), want)
	}
	for src, want := range map[netip.Addr]bool{
		pod6: true, friend6: false, linkLocal: true, netip.MustParseAddr("::1"): false, netip.MustParseAddr("ff02::1"): false,
		netip.MustParseAddr("2001:db8::9"): false,
	} {
		f.want("from "+src.String(), f.leave(syn(src, nobody6, 1000, 80)), want)
	}
	for dst, want := range map[netip.Addr]bool{
		pod4: true, friend4: false, netip.MustParseAddr("127.0.0.1"): false, netip.MustParseAddr("224.0.0.251"): true,
		netip.MustParseAddr("255.255.255.255"): true, netip.MustParseAddr("0.0.0.0"): false,
	} {
		f.want("to "+dst.String(), f.enter(syn(stranger, dst, 1000, 80)), want)
	}
	for dst, want := range map[netip.Addr]bool{
		pod6: true, friend6: false, netip.MustParseAddr("::1"): false, netip.MustParseAddr("ff02::fb"): true,
		netip.MustParseAddr("::"): false,
	} {
		f.want("to "+dst.String(), f.enter(syn(nobody6, dst, 1000, 80)), want)
	}
}

// A spoofed frame makes no flow for a later one, nor for its answer.
func TestSpoofedFrameOpensNothing(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		fake := syn(fam.podNet, fam.friend, 1000, 80)
		f.want(fam.name+": spoofed", f.leave(fake), false)
		f.want(fam.name+": answer", f.enter(fake.Reverse()), false)
		f.want(fam.name+": spoofed again", f.leave(fake), false)
	}
}

func TestForeignMAC(t *testing.T) {
	f := newFixture(t, Config{})
	for name, ruleset := range map[string]uint32{"restricted": restricted, "open": state.RuleSetOpen} {
		f.use(ruleset)
		for i, fam := range families {
			before := f.drops("spoofed")
			ask := syn(fam.pod, fam.friend, 1000+uint16(i)+uint16(ruleset)*10, 80)
			fake := ask
			fake.MAC = foreignMAC()
			f.want(name+": new flow", f.leave(fake), false)
			f.want(name+": own MAC", f.leave(ask), true)
			fake.SYN, fake.ACK = false, true
			f.want(name+": known flow", f.leave(fake), false)
			f.want(name+": echo", f.leave(bpftest.Frame{Src: fam.pod, Dst: fam.friend, Protocol: fam.ping, MAC: fake.MAC}), false)
			f.want(name+": not IP", f.leaves(tag(fake.Bytes(t), 0x8100, 5)), false)
			fake.MAC = nil
			f.want(name+": known flow, own MAC", f.leave(fake), true)
			if n := f.drops("spoofed") - before; n != 4 {
				t.Errorf("%s: %d dropped as spoofed, want 4", name, n)
			}
		}
	}
}

func TestAnswerWithForeignMAC(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	ask := syn(friend4, pod4, 2000, 80)
	f.want("question", f.enter(ask), true)
	answer := ask.Reverse()
	answer.MAC = foreignMAC()
	f.want("answer", f.leave(answer), false)
	answer.MAC = nil
	f.want("answer, own MAC", f.leave(answer), true)
}

// IPv6 is nothing that a pod has because its cluster has it.
func TestIPv6OfAnIPv4Pod(t *testing.T) {
	f := newFixture(t, Config{})
	must(t, f.s.Owners.Delete(state.AddrKey(pod6)))
	f.use(state.RuleSetOpen)
	nobody := families[1].nobody
	f.want("out", f.leave(syn(pod6, nobody, 1000, 80)), false)
	f.want("in", f.enter(syn(nobody, pod6, 1000, 80)), false)
	f.want("link-local", f.leave(syn(linkLocal, netip.MustParseAddr("fe80::1"), 1000, 80)), true)
	f.want("IPv4", f.leave(syn(pod4, stranger, 1000, 80)), true)
	f.use(restricted)
	f.want("link-local, isolated", f.leave(syn(linkLocal, netip.MustParseAddr("fe80::1"), 1000, 80)), false)
}

// RFC 4291: no packet bears an IPv4-mapped address. Here one would be taken for IPv4.
func TestMappedAddresses(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	f.want("out", f.leave(syn(mapped, mappedFriend, 1000, 80)), false)
	f.want("out, own IPv6 source", f.leave(syn(pod6, mappedFriend, 1001, 80)), false)
	f.want("in", f.enter(syn(mappedFriend, pod6, 1002, 80)), false)
	ask := syn(pod4, friend4, 1003, 80)
	f.want("question in IPv4", f.leave(ask), true)
	f.want("answer in IPv6", f.enter(syn(mappedFriend, mapped, 80, 1003)), false)
}

// 0.0.0.0 is for DHCP, :: for the detection of duplicates and for listeners.
func TestNoSource(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	zero, all := netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255")
	f.want("DHCP discover", f.leave(bpftest.Frame{Src: zero, Dst: all, Protocol: udp, SrcPort: 68, DstPort: 67}), true)
	f.want("DHCP offer", f.enter(bpftest.Frame{Src: stranger, Dst: all, Protocol: udp, SrcPort: 67, DstPort: 68}), true)
}

func TestNoSourceButForDHCP(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	zero := netip.IPv4Unspecified()
	f.want("UDP to a host", f.leave(bpftest.Frame{Src: zero, Dst: stranger, Protocol: udp, SrcPort: 1000, DstPort: 53}), false)
	f.want("TCP from 0.0.0.0", f.leave(syn(zero, stranger, 1000, 80)), false)
	f.want("TCP from ::", f.leave(syn(netip.IPv6Unspecified(), families[1].nobody, 1000, 80)), false)
}

// DHCP is judged like anything: by its destination on the way out.
func TestDHCPIsJudged(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	all := netip.MustParseAddr("255.255.255.255")
	discover := bpftest.Frame{Src: netip.IPv4Unspecified(), Dst: all, Protocol: udp, SrcPort: 68, DstPort: 67}
	f.want("discover", f.leave(discover), false)
	must(t, f.s.Ports.Put(state.RawPortKey{Set: 40, Protocol: udp, Bits: 16, Port: 67}, state.RawGrant{Rule: rule}))
	must(t, f.s.Peers.Put(state.AddrKey(all), uint32(friend)))
	f.useEqual()
	f.want("discover, granted", f.leave(discover), true)
	f.want("offer nobody granted", f.enter(bpftest.Frame{Src: stranger, Dst: all, Protocol: udp, SrcPort: 67, DstPort: 68}), false)
}

func TestMulticastIsJudged(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	group := netip.MustParseAddr("224.0.0.251")
	ask := bpftest.Frame{Src: pod4, Dst: group, Protocol: udp, SrcPort: 53, DstPort: 53}
	f.want("to a group", f.leave(ask), false)
	f.want("from a stranger", f.enter(bpftest.Frame{Src: stranger, Dst: group, Protocol: udp, SrcPort: 53, DstPort: 53}), false)
	f.want("from a friend", f.enter(bpftest.Frame{Src: friend4, Dst: group, Protocol: udp, SrcPort: 53, DstPort: 53}), true)
	must(t, f.s.Peers.Put(state.AddrKey(group), uint32(friend)))
	f.useEqual()
	f.want("to a granted group", f.leave(ask), true)
}

// INTERFACE.md counts the addresses of the own MAC among a pod's own.
func TestAddressOfTheMAC(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	nobody := families[1].nobody
	f.want("out", f.leave(syn(bySLAAC, nobody, 1000, 80)), true)
	f.want("in", f.enter(syn(nobody, bySLAAC, 1000, 80)), true)
	f.want("another MAC's", f.leave(syn(netip.MustParseAddr("2001:db8:1::ff:fe00:7"), nobody, 1000, 80)), false)
}

func TestAllowedSources(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	other := state.Pod{IfIndex: 2, Cookie: 100}
	must(t, f.s.Register(&other))
	put := func(pod uint32, prefix string) {
		p := netip.MustParsePrefix(prefix)
		bits := p.Bits()
		if p.Addr().Is4() {
			bits += 96
		}
		must(t, f.s.Sources.Put(state.RawSource{Len: uint32(32 + bits), Pod: pod, Addr: state.AddrKey(p.Addr())}, uint32(1)))
	}
	put(f.pod.ID, "10.9.0.0/16")
	put(f.pod.ID, "fd09::/64")
	put(other.ID, "10.8.0.0/16")
	for src, want := range map[string]bool{"10.9.1.1": true, "10.10.0.1": false, "10.8.0.1": false, "fd09::1": true, "fd09:1::1": false} {
		src, dst := netip.MustParseAddr(src), friend4
		if src.Is6() {
			dst = friend6
		}
		f.want("from "+src.String(), f.leave(syn(src, dst, 1000, 80)), want)
		f.want("from "+src.String()+", denied by policy", f.leave(syn(src, dst, 1000, 81)), false)
		f.want("to "+src.String(), f.enter(syn(dst, src, 2000, 80)), want)
	}
}
