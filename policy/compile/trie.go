// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"net/netip"
	"slices"
)

// trie holds every CIDR and exception of the entries that are blocks, with the set
// of entries that contain the prefix as a whole. An address is in the entries of
// the longest prefix around it: any CIDR or exception that told them apart would
// be a longer prefix.
type trie struct {
	sets  map[netip.Prefix][]*entry // by serial
	order []netip.Prefix            // shortest first
	// lengths are the prefix lengths that occur, longest first, by address length.
	lengths map[int][]int
}

// newTrie takes entries by serial. World is a block too: every address less podCIDRs.
func newTrie(entries []*entry, podCIDRs []netip.Prefix) *trie {
	begins := make(map[netip.Prefix][]*entry) // by CIDR
	ends := make(map[netip.Prefix][]*entry)   // by exception
	t := &trie{sets: make(map[netip.Prefix][]*entry), lengths: make(map[int][]int)}
	for _, e := range entries {
		cidrs, except := e.blocks(podCIDRs)
		for _, p := range cidrs {
			begins[p] = append(begins[p], e)
			t.sets[p] = nil
		}
		for _, x := range except {
			ends[x] = append(ends[x], e)
			t.sets[x] = nil
		}
	}
	for p := range t.sets {
		t.order = append(t.order, p)
		n := p.Addr().BitLen()
		t.lengths[n] = append(t.lengths[n], p.Bits())
	}
	slices.SortFunc(t.order, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Compare(b))
	})
	for n, lengths := range t.lengths {
		t.lengths[n] = sortedSet(lengths, func(a, b int) int { return b - a })
	}
	for _, p := range t.order { // the prefixes around p are done
		around := t.lookup(p.Addr(), p.Bits()-1)
		t.sets[p] = slices.DeleteFunc(union(around, begins[p]), func(e *entry) bool {
			return slices.Contains(ends[p], e)
		})
	}
	return t
}

// blocks are the CIDRs of a block or of World, and their exceptions.
func (e *entry) blocks(podCIDRs []netip.Prefix) (cidrs, except []netip.Prefix) {
	if e.kind == kindWorld {
		return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}, podCIDRs
	}
	return []netip.Prefix{e.block.CIDR}, e.block.Except
}

func (e *entry) isBlock() bool { return e.kind == kindBlock || e.kind == kindWorld }

// lookup is the set of the longest prefix around addr that has at most bits.
func (t *trie) lookup(addr netip.Addr, bits int) []*entry {
	for _, n := range t.lengths[addr.BitLen()] {
		if n > bits {
			continue
		}
		p, _ := addr.Prefix(n) // n is in range: it is that of a prefix of this length
		if set, ok := t.sets[p]; ok {
			return set
		}
	}
	return nil
}

// union is a new set of the elements of both, by serial.
func union(a, b []*entry) []*entry {
	out := slices.Concat(a, b)
	slices.SortFunc(out, compareSerials)
	return slices.Compact(out)
}
