// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"net/netip"
	"slices"
)

// trie holds every CIDR and exception that a block names, with the set of blocks
// that contain the prefix as a whole. An address is in the blocks of the longest
// prefix around it: any block or exception that told them apart would be a longer
// prefix.
type trie struct {
	sets  map[netip.Prefix][]int32
	order []netip.Prefix // shortest first
	// lengths are the prefix lengths that occur, longest first, by address length.
	lengths map[int][]int
}

func newTrie(entries []*entry) *trie {
	begins := make(map[netip.Prefix][]int32) // blocks by CIDR
	ends := make(map[netip.Prefix][]int32)   // blocks by exception
	t := &trie{sets: make(map[netip.Prefix][]int32), lengths: make(map[int][]int)}
	for i, e := range entries {
		if e.block == nil {
			continue
		}
		begins[e.block.CIDR] = append(begins[e.block.CIDR], int32(i))
		t.sets[e.block.CIDR] = nil
		for _, x := range e.block.Except {
			ends[x] = append(ends[x], int32(i))
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
		t.sets[p] = slices.DeleteFunc(slices.Clone(union(around, begins[p])), func(i int32) bool {
			return slices.Contains(ends[p], i)
		})
	}
	return t
}

// lookup is the set of the longest prefix around addr that has at most bits.
func (t *trie) lookup(addr netip.Addr, bits int) []int32 {
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
