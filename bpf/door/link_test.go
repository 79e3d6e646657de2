// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net"
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

const (
	routerSolicit = 133 + iota
	routerAdvert
	solicit
	advert
	redirect
)

const listenerReport = 143

var (
	allNodes  = netip.MustParseAddr("ff02::1")
	askGroup  = netip.MustParseAddr("ff02::1:ff00:3")
	reporters = netip.MustParseAddr("ff02::16")
)

// arp is a frame from the pod; op 1 asks, 2 answers.
func arp(op byte, mac net.HardwareAddr, sender, target netip.Addr) []byte {
	b := append(net.HardwareAddr{255, 255, 255, 255, 255, 255}, bpftest.PodMAC()...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4, 0, op)
	b = append(append(b, mac...), sender.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

type arpCase struct {
	name  string
	frame []byte
	want  bool // to leave
}

func arpFrames() []arpCase {
	zero, own := netip.IPv4Unspecified(), bpftest.PodMAC()
	answer := arp(2, own, pod4, friend4)
	return []arpCase{
		{"question", arp(1, own, pod4, friend4), true},
		{"answer", answer, true},
		{"announcement", arp(1, own, pod4, pod4), true},
		{"probe", arp(1, own, zero, pod4), true},
		{"question under another's address", arp(1, own, friend4, stranger), false},
		{"answer for another", arp(2, own, friend4, stranger), false},
		{"announcement of another's address", arp(1, own, friend4, friend4), false},
		{"another's MAC", arp(2, foreignMAC(), pod4, friend4), false},
		{"probe with another's MAC", arp(1, foreignMAC(), zero, pod4), false},
		{"cut short", arp(1, own, pod4, friend4)[:40], false},
		{"padded", append(arp(1, own, pod4, friend4), make([]byte, 18)...), true},
		{"another's address behind a tag", tag(arp(2, own, friend4, stranger), 0x8100, 5), false},
		{"other hardware", edited(answer, func(b []byte) { b[ethLen+1] = 6 }), false},
		{"other protocol", edited(answer, func(b []byte) { b[ethLen+2] = 0x86 }), false},
		{"longer hardware addresses", edited(answer, func(b []byte) { b[ethLen+4] = 8 }), false},
		{"shorter addresses", edited(answer, func(b []byte) { b[ethLen+5] = 3 }), false},
	}
}

func TestARP(t *testing.T) {
	f := newFixture(t, Config{})
	for name, ruleset := range map[string]uint32{"closed": state.RuleSetClosed, "open": state.RuleSetOpen} {
		f.use(ruleset)
		for _, tc := range arpFrames() {
			f.want(name+": "+tc.name, f.leaves(tc.frame), tc.want)
		}
		f.want(name+": to the pod", f.enters(arp(2, foreignMAC(), friend4, pod4)), true)
	}
}

// nd is a neighbour discovery message about target, with n bytes of options.
func nd(src, dst netip.Addr, kind, hops uint8, target netip.Addr, n int) bpftest.Frame {
	return message(src, dst, kind, 0, hops, append(append(make([]byte, 4), target.AsSlice()...), make([]byte, n)...))
}

type linkCase struct {
	name         string
	frame        bpftest.Frame
	closed, open bool // does it leave
}

func linkFrames() []linkCase {
	none := netip.IPv6Unspecified()
	return []linkCase{
		{"solicitation to the group", nd(pod6, askGroup, solicit, 255, friend6, 8), true, true},
		{"solicitation to the neighbour", nd(pod6, friend6, solicit, 255, friend6, 8), true, true},
		{"detection of duplicates", nd(none, askGroup, solicit, 255, friend6, 0), true, true},
		{"advertisement to a neighbour", nd(pod6, friend6, advert, 255, pod6, 8), true, true},
		{"advertisement to all", nd(pod6, allNodes, advert, 255, pod6, 8), true, true},
		{"router solicitation", nd(linkLocal, netip.MustParseAddr("ff02::2"), routerSolicit, 255, none, 0), true, true},
		{"listener report", nd(linkLocal, reporters, listenerReport, 1, none, 8), true, true},
		{"listener report without source", nd(none, reporters, listenerReport, 1, none, 8), true, true},
		{"solicitation that was routed", nd(pod6, askGroup, solicit, 64, friend6, 8), false, true},
		{"solicitation about somebody else", nd(pod6, friend6, solicit, 255, pod6, 8), false, true},
		{"listener report to a host", nd(pod6, friend6, listenerReport, 1, none, 8), false, true},
		{"solicitation from another's address", nd(friend6, askGroup, solicit, 255, stranger6(), 8), false, false},
		{"advertisement of another's address", nd(pod6, allNodes, advert, 255, friend6, 8), false, false},
		{"the same, to one", nd(pod6, families[1].nobody, advert, 255, friend6, 8), false, false},
		{"the same, from link-local", nd(linkLocal, allNodes, advert, 255, friend6, 8), false, false},
		{"advertisement from another's address", nd(friend6, allNodes, advert, 255, pod6, 8), false, false},
		{"router advertisement", nd(linkLocal, allNodes, routerAdvert, 255, none, 8), false, false},
		{"redirect", nd(linkLocal, linkLocal.Next(), redirect, 255, friend6, 24), false, false},
		{"listener report from another's address", nd(friend6, reporters, listenerReport, 1, none, 8), false, false},
		{"advertisement cut short", message(pod6, allNodes, advert, 0, 255, make([]byte, 4)), false, false},
		{"solicitation cut short", message(pod6, askGroup, solicit, 0, 255, make([]byte, 4)), false, true},
		{"listener report cut short", message(linkLocal, reporters, listenerReport, 0, 1, nil), false, true},
	}
}

func TestLinkFrames(t *testing.T) {
	f := newFixture(t, Config{})
	for _, tc := range linkFrames() {
		f.use(state.RuleSetClosed)
		f.want(tc.name+", closed", f.leave(tc.frame), tc.closed)
		f.use(state.RuleSetOpen)
		f.want(tc.name+", open", f.leave(tc.frame), tc.open)
	}
}

func stranger6() netip.Addr { return families[1].nobody }

// The same behind an extension header: what a frame is does not depend on that.
func TestLinkFramesBehindExtensions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	none := netip.IPv6Unspecified()
	for name, frame := range map[string]bpftest.Frame{
		"router advertisement": nd(linkLocal, allNodes, routerAdvert, 255, none, 8),
		"redirect":             nd(linkLocal, linkLocal.Next(), redirect, 255, friend6, 24),
		"advertisement":        nd(pod6, allNodes, advert, 255, friend6, 8),
	} {
		for n := 1; n <= 7; n++ {
			f.want(name, f.leaves(extend(frame.Bytes(t), many(n)...)), false)
		}
		f.want(name+" in a fragment", f.leaves(extend(frame.Bytes(t), atomic())), false)
	}
}

func TestLinkFramesBehindManyExtensions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	frame := nd(linkLocal, allNodes, routerAdvert, 255, netip.IPv6Unspecified(), 8)
	f.want("router advertisement", f.leaves(extend(frame.Bytes(t), many(9)...)), false)
}

// A receiver minds the hop limit, not the destination or the length.
func TestLinkFramesToOneHost(t *testing.T) {
	f := newFixture(t, Config{})
	f.grantAll()
	none := netip.IPv6Unspecified()
	for name, ruleset := range map[string]uint32{"open": state.RuleSetOpen, "ICMPv6 allowed": restricted} {
		f.use(ruleset)
		f.want(name+": router advertisement", f.leave(nd(linkLocal, friend6, routerAdvert, 255, none, 0)), false)
		f.want(name+": long router advertisement", f.leave(nd(linkLocal, friend6, routerAdvert, 255, none, 64)), false)
		f.want(name+": redirect", f.leave(nd(linkLocal, friend6, redirect, 255, friend6, 64)), false)
		f.want(name+": long advertisement of another's address", f.leave(nd(pod6, friend6, advert, 255, stranger6(), 64)), false)
	}
}

// Towards the pod: neighbours are heard, whatever the rules.
func TestLinkFramesToThePod(t *testing.T) {
	f := newFixture(t, Config{})
	f.want("solicitation", f.enter(nd(friend6, askGroup, solicit, 255, pod6, 8)), true)
	f.want("advertisement", f.enter(nd(friend6, pod6, advert, 255, friend6, 8)), true)
	f.want("router advertisement", f.enter(nd(linkLocal, allNodes, routerAdvert, 255, netip.IPv6Unspecified(), 8)), true)
	f.want("advertisement with a load", f.enter(nd(friend6, pod6, advert, 255, friend6, 1200)), false)
	f.want("advertisement that was routed", f.enter(nd(friend6, pod6, advert, 64, friend6, 8)), false)
}

// A redirect comes from the router, and that is this node.
func TestRedirects(t *testing.T) {
	f := newFixture(t, Config{})
	for _, ruleset := range []uint32{restricted, state.RuleSetOpen} {
		f.use(ruleset)
		ask := syn(pod4, friend4, 1000, 80)
		f.want("question", f.leave(ask), true)
		away := quoting(t, friend4, pod4, 5, 1, ask, 28)
		f.want("from another host", f.enter(away), false)
		if bpftest.Run(t, f.in, away.Bytes(t), true) != bpftest.Next {
			t.Error("redirect from the node was dropped")
		}
		f.want("from the pod", f.leave(quoting(t, pod4, friend4, 5, 1, ask.Reverse(), 28)), false)
	}
}

func TestIPv6Redirects(t *testing.T) {
	f := newFixture(t, Config{})
	away := nd(linkLocal, linkLocal.Next(), redirect, 255, friend6, 24)
	f.want("from another host", f.enter(away), false)
	if bpftest.Run(t, f.in, away.Bytes(t), true) != bpftest.Next {
		t.Error("redirect from the node was dropped")
	}
}
