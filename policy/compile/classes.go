// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// classes reduces addresses to classes. A set of entries is written as their
// indices, ascending.
type classes struct {
	entries []*entry // by index
	ids     *IDs
	known   map[string]uint32 // by the indices
	// holding lists, for each entry, the classes that hold it.
	holding [][]uint32
}

// newClasses numbers the entries in the order of their sums, so that a set of
// entries has one spelling.
func newClasses(entries map[sum]*entry, ids *IDs) *classes {
	c := &classes{ids: ids, known: make(map[string]uint32)}
	c.entries = slices.SortedFunc(maps.Values(entries), compareEntries)
	for i, e := range c.entries {
		e.index = int32(i)
	}
	c.holding = make([][]uint32, len(c.entries))
	return c
}

// of is the class of a set of entries.
func (c *classes) of(set []int32) uint32 {
	if len(set) == 0 {
		return ClassNone
	}
	var key []byte
	for _, i := range set {
		key = binary.NativeEndian.AppendUint32(key, uint32(i))
	}
	if id, ok := c.known[string(key)]; ok {
		return id
	}
	e := encode(kindClass)
	for _, i := range set {
		e = append(e, c.entries[i].sum[:]...)
	}
	id := c.ids.of(e.sum())
	c.known[string(key)] = id
	for _, i := range set {
		c.holding[i] = append(c.holding[i], id)
	}
	return id
}

// prefixes gives every prefix that a block names its class.
func (c *classes) prefixes(t *trie) map[netip.Prefix]uint32 {
	out := make(map[netip.Prefix]uint32, len(t.order))
	for _, p := range t.order {
		out[p] = c.of(t.sets[p])
	}
	return out
}

// peers gives every pod address its class: the selector pairs that select a pod
// with that address, and the blocks around it.
func (c *classes) peers(cluster *policy.Cluster, t *trie) map[netip.Addr]uint32 {
	inv := newInventory(cluster)
	selectedBy := make([][]int32, len(inv.pods)) // entries by pod
	for i, e := range c.entries {
		if e.block != nil {
			continue
		}
		for _, pod := range inv.selected(e) {
			selectedBy[pod] = append(selectedBy[pod], int32(i))
		}
	}
	sets := make(map[netip.Addr][]int32, len(inv.pods))
	order := make([]netip.Addr, 0, len(inv.pods)) // fresh ids do not depend on map order
	for i, pod := range inv.pods {
		for _, addr := range pod.IPs {
			set, ok := sets[addr]
			if !ok {
				order = append(order, addr)
				set = t.lookup(addr, addr.BitLen())
			}
			sets[addr] = union(set, selectedBy[i])
		}
	}
	out := make(map[netip.Addr]uint32, len(order))
	for _, addr := range order {
		if class := c.of(sets[addr]); class != ClassNone {
			out[addr] = class
		}
	}
	return out
}

// union merges two sets; the result may be one of them.
func union(a, b []int32) []int32 {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
