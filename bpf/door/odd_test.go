// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// edited is a frame with some bytes changed.
func edited(b []byte, change func(b []byte)) []byte {
	b = slices.Clone(b)
	change(b)
	return b
}

type oddCase struct {
	name        string
	frame       []byte
	reason, odd string
}

func oddFrames(tb testing.TB) []oddCase {
	ask, ask6 := syn(pod4, friend4, 1000, 80).Bytes(tb), syn(pod6, friend6, 1000, 80).Bytes(tb)
	length := func(n uint16) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint16(b[ethLen+2:], n) }
	}
	length6 := func(n uint16) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint16(b[ethLen+4:], n) }
	}
	kind := func(n uint16) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint16(b[12:], n) }
	}
	return []oddCase{
		{"later fragment", piece(ask, 1, 8, 20, false), "fragment", "fragment"},
		{"later IPv6 fragment", piece(ask6, 1, 8, 20, false), "fragment", "fragment"},
		{"tiny first fragment", piece(ask, 2, 0, 8, true), "malformed", "malformed"},
		{"tiny first IPv6 fragment", piece(ask6, 2, 0, 8, true), "malformed", "malformed"},
		{"cut TCP header", edited(ask, length(28)), "malformed", "malformed"},
		{"cut TCP header, IPv6", edited(ask6, length6(8)), "malformed", "malformed"},
		{"no TCP header", edited(ask, length(20)), "malformed", "malformed"},
		{"packet shorter than its header", edited(ask, length(19)), "malformed", "malformed"},
		{"packet longer than the frame", edited(ask, length(1000)), "malformed", "malformed"},
		{"IPv6 packet longer than the frame", edited(ask6, length6(1000)), "malformed", "malformed"},
		{"IPv4 header length 4", edited(ask, func(b []byte) { b[ethLen] = 0x44 }), "malformed", "malformed"},
		{"version 5", edited(ask, func(b []byte) { b[ethLen] = 0x55 }), "malformed", "malformed"},
		{"version 4 of IPv6", edited(ask6, func(b []byte) { b[ethLen] = 0x45 }), "malformed", "malformed"},
		{"IPv6 under the type of IPv4", edited(ask6, kind(0x0800)), "malformed", "malformed"},
		{"nine extensions", extend(ask6, many(9)...), "malformed", "malformed"},
		{"unknown type", edited(ask, kind(0x88b5)), "malformed", "not-ip"},
		{"reverse ARP", edited(ask, kind(0x8035)), "malformed", "not-ip"},
		{"MPLS", edited(ask, kind(0x8847)), "malformed", "not-ip"},
		{"PPPoE", edited(ask, kind(0x8864)), "malformed", "not-ip"},
		{"802.3 length", edited(ask, kind(46)), "malformed", "not-ip"},
		{"VLAN tag", tag(ask, 0x8100, 5), "malformed", "not-ip"},
		{"VLAN tag, IPv6", tag(ask6, 0x8100, 5), "malformed", "not-ip"},
		{"QinQ tags", tag(tag(ask, 0x8100, 5), 0x88a8, 6), "malformed", "not-ip"},
		{"three tags", tag(tag(tag(ask, 0x8100, 5), 0x8100, 6), 0x88a8, 7), "malformed", "not-ip"},
	}
}

// What cannot be judged is denied where something isolates, and passes and is
// counted elsewhere. (A test run refuses frames shorter than an IP header.)
func TestOddFrames(t *testing.T) {
	f := newFixture(t, Config{})
	for _, tc := range oddFrames(t) {
		f.use(restricted)
		before := f.drops(tc.reason)
		f.want(tc.name+", isolated", f.leaves(tc.frame), false)
		if n := f.drops(tc.reason) - before; n != 1 {
			t.Errorf("%s: %d drops counted as %s, want 1", tc.name, n, tc.reason)
		}
		f.want(tc.name+", isolated, in", f.enters(tc.frame), false) // for another's address, where that can be read
		f.use(state.RuleSetOpen)
		before = f.count(f.s.Oddities, state.Oddities(), tc.odd)
		f.want(tc.name+", open", f.leaves(tc.frame), true)
		if n := f.count(f.s.Oddities, state.Oddities(), tc.odd) - before; n != 1 {
			t.Errorf("%s: %d counted as %s, want 1", tc.name, n, tc.odd)
		}
	}
}

// Bytes behind the end of the packet are no part of it.
func TestPadding(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	pad := make([]byte, 30)
	f.want("padded", f.leaves(append(syn(pod4, friend4, 1000, 80).Bytes(t), pad...)), true)
	f.want("padded, IPv6", f.leaves(append(syn(pod6, friend6, 1000, 80).Bytes(t), pad...)), true)
}

// A direction that no policy isolates is open, though the other is not.
func TestOddFramesByDirection(t *testing.T) {
	f := newFixture(t, Config{})
	must(t, f.s.Rulesets.Put(uint32(22), state.RawRuleset{Active: [8]uint8{5: 1}})) // egress alone
	f.use(22)
	b := syn(friend4, pod4, 1000, 80).Bytes(t)
	f.want("in", f.enters(piece(b, 1, 8, 20, false)), true)
	f.want("out", f.leaves(piece(syn(pod4, friend4, 1000, 80).Bytes(t), 1, 8, 20, false)), false)
}

// A protocol without ports is allowed by rules without ports alone.
func TestProtocolsWithoutPorts(t *testing.T) {
	f := newFixture(t, Config{})
	protocols := []uint8{0, 2, 4, 41, 47, 50, 51, 59, 89, 103, 136, 200, 253, 255}
	f.use(restricted)
	send := func(fam int, protocol uint8) bpftest.Frame {
		trap := []byte{0, 80, 0, 80, 0, 53, 0, 53}
		return bpftest.Frame{Src: families[fam].pod, Dst: families[fam].friend, Protocol: protocol, Bare: true, Payload: trap}
	}
	for fam := range families {
		for _, protocol := range protocols {
			if fam == 1 && (protocol == 0 || protocol == 51) {
				continue // extensions
			}
			f.use(restricted)
			f.want("rules with ports", f.leave(send(fam, protocol)), false)
			f.want("rules with ports, in", f.enter(bpftest.Frame{Src: send(fam, protocol).Dst, Dst: send(fam, protocol).Src, Protocol: protocol}), false)
		}
	}
	f.grantAll()
	f.useEqual()
	for fam := range families {
		for _, protocol := range protocols {
			if fam == 1 && (protocol == 0 || protocol == 51) {
				continue
			}
			f.want("rules without ports", f.leave(send(fam, protocol)), true)
			back := send(fam, protocol)
			back.Dst = families[fam].nobody
			f.want("to a stranger", f.leave(back), false)
		}
	}
}

func TestSCTP(t *testing.T) {
	f := newFixture(t, Config{})
	must(t, f.s.Ports.Put(state.RawPortKey{Set: 40, Protocol: sctp, Bits: 16, Port: 90}, state.RawGrant{Rule: rule}))
	f.use(restricted)
	for _, fam := range families {
		ask := bpftest.Frame{Src: fam.pod, Dst: fam.friend, Protocol: sctp, SrcPort: 1000, DstPort: 90}
		f.want(fam.name+": answer before", f.enter(ask.Reverse()), false)
		f.want(fam.name+": question", f.leave(ask), true)
		f.want(fam.name+": answer", f.enter(ask.Reverse()), true)
		ask.DstPort = 91
		f.want(fam.name+": other port", f.leave(ask), false)
	}
}
