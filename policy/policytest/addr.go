// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"math/rand/v2"
	"net/netip"
)

// randomAddr4 is one of 10.0.0.0/8 with few bits set, so that blocks nest around it.
func randomAddr4(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(3)), byte(1 + r.IntN(30))})
}

// randomAddr6 is one of fd00::/8, likewise.
func randomAddr6(r *rand.Rand) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(r.IntN(2)), 14: byte(r.IntN(3)), 15: byte(1 + r.IntN(30))})
}

func randomAddr(r *rand.Rand) netip.Addr {
	if r.IntN(3) == 0 {
		return randomAddr6(r)
	}
	return randomAddr4(r)
}

// randomNode4 and the like are of the same blocks, but no pod's.
func randomNode4(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), 3, byte(1 + r.IntN(10))})
}

func randomNode6(r *rand.Rand) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(r.IntN(2)), 14: 3, 15: byte(1 + r.IntN(10))})
}

func randomService4(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 96, 0, byte(1 + r.IntN(10))})
}

// randomWorld is an address outside the cluster, unless a Service has it.
func randomWorld(r *rand.Rand) netip.Addr {
	return pick(r,
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"))
}

// randomBits is a prefix length near the end of an address, where the random
// addresses differ, or a short one.
func randomBits(r *rand.Rand, of netip.Addr) int {
	switch r.IntN(8) {
	case 0:
		return 0
	case 1:
		return 8
	case 2:
		return of.BitLen()
	}
	return of.BitLen() - 1 - r.IntN(18)
}

// randomPrefix covers many of the random addresses, a few or one.
func randomPrefix(r *rand.Rand) netip.Prefix {
	addr := randomAddr(r)
	return netip.PrefixFrom(addr, randomBits(r, addr)).Masked()
}

// randomWithin is a prefix strictly inside p, which must not be a single address.
func randomWithin(r *rand.Rand, p netip.Prefix) netip.Prefix {
	addr := p.Addr()
	for range 8 { // tries; the fall back is p's lower half or less
		if a := randomAddr(r); p.Contains(a) {
			addr = a
			break
		}
	}
	bits := max(p.Bits()+1, randomBits(r, addr))
	return netip.PrefixFrom(addr, bits).Masked()
}

// nearEdge is the first or the last address of p, or one beside them.
func nearEdge(r *rand.Rand, p netip.Prefix) netip.Addr {
	first, last := p.Addr(), lastAddr(p)
	a := pick(r, first, last, first.Prev(), last.Next(), first.Next(), last.Prev())
	if !a.IsValid() {
		return first
	}
	return a
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
