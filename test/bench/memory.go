// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/test/harness"
)

// footprint is the kernel memory of one map, as its fdinfo tells.
type footprint struct {
	bytes, entries uint64
	used           uint64 // entries; of hashes only
}

// perEntry is what one of a preallocated map's entries takes.
func (p footprint) perEntry() float64 { return float64(p.bytes) / float64(p.entries) }

var (
	// connections are the maps with one entry for each flow.
	connections = []string{state.RawMapFlows, state.RawMapAging}
	// slots are the arrays with a share for each pod, used or not.
	slots = []string{state.RawMapPods, state.RawMapRules, state.RawMapCounts, state.RawMapDeferrals, state.RawMapFragments}
	// identities are the preallocated hashes that fill as pods come.
	identities = []string{state.RawMapDoors, state.RawMapNetnses, state.RawMapOwners, state.RawMapCgroups}
)

// footprints reads every pinned map.
func footprints(n *harness.Node) (map[string]footprint, error) {
	dir := state.Dir(n.Bpffs)
	list, err := os.ReadDir(dir.Map(""))
	if err != nil {
		return nil, fmt.Errorf("list maps: %w", err)
	}
	out := make(map[string]footprint)
	for _, e := range list {
		m, err := ebpf.LoadPinnedMap(dir.Map(e.Name()), nil)
		if err != nil {
			return nil, fmt.Errorf("open map %s: %w", e.Name(), err)
		}
		p, err := footprintOf(m)
		m.Close()
		if err != nil {
			return nil, fmt.Errorf("read map %s: %w", e.Name(), err)
		}
		out[e.Name()] = p
	}
	return out, nil
}

func footprintOf(m *ebpf.Map) (footprint, error) {
	info, err := m.Info()
	if err != nil {
		return footprint{}, err
	}
	bytes, _ := info.Memlock()
	p := footprint{bytes: bytes, entries: uint64(info.MaxEntries)}
	if info.Type != ebpf.Hash {
		return p, nil
	}
	key, next := make([]byte, info.KeySize), any(nil)
	for ; m.NextKey(next, key) == nil; p.used++ {
		next = slices.Clone(key)
	}
	return p, nil
}

// memory tells what the kernel holds for a pod under the large load, beside the
// flow table, and for a flow. Of each map counts
//   - what it has grown by since there was no object, shared by the pods,
//   - of an array by slot, the slot's share,
//   - of a preallocated hash of identities, the entries that are in use;
//
// then the links: the kernel's objects, by their size in its BTF, and their pins.
// What a node has once, however many pods it runs, is node_mem_bytes.
func memory(f figures, n *harness.Node, before map[string]footprint) error {
	after, err := footprints(n)
	if err != nil {
		return err
	}
	var pod, node float64
	for name, p := range after {
		share := float64(p.bytes-before[name].bytes) / localPods
		switch {
		case slices.Contains(connections, name):
			continue
		case slices.Contains(slots, name):
			share += p.perEntry()
		case slices.Contains(identities, name):
			share += p.perEntry() * float64(p.used) / localPods
		}
		pod += share
		node += float64(p.bytes) - share*localPods
	}
	links, err := linkBytes(n)
	if err != nil {
		return err
	}
	f.add("pod_mem_bytes", pod+links/localPods, "B")
	f.add("node_mem_bytes", node, "B")
	flows := after[state.RawMapFlows]
	f.add("conn_entry_bytes", flows.perEntry()+float64(after[state.RawMapAging].bytes)/float64(flows.entries), "B")
	for _, name := range slices.Sorted(maps.Keys(after)) {
		fmt.Printf("map\t%s\t%d\tB\t%d\tof\t%d\n", name, after[name].bytes, after[name].used, after[name].entries)
	}
	return nil
}

// linkBytes is the memory of the links of all pods.
func linkBytes(n *harness.Node) (float64, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, fmt.Errorf("read BTF of the kernel: %w", err)
	}
	size := func(names ...string) (sum float64, err error) {
		for _, name := range names {
			var s *btf.Struct
			if err := spec.TypeByName(name, &s); err != nil {
				return 0, fmt.Errorf("find struct %s: %w", name, err)
			}
			sum += float64(s.Size)
		}
		return sum, nil
	}
	pin, err := size("inode", "dentry")
	if err != nil {
		return 0, err
	}
	tcx, err := size("tcx_link", "tcx_entry")
	if err != nil {
		return 0, err
	}
	cgroup, err := size("bpf_cgroup_link", "bpf_prog_list")
	if err != nil {
		return 0, err
	}
	pins, err := filepath.Glob(filepath.Join(n.Bpffs, "pods", "*", "*"))
	if err != nil {
		return 0, fmt.Errorf("list links: %w", err)
	}
	sum := pin * localPods // the pods' folders
	for _, path := range pins {
		sum += pin + cgroup
		if strings.HasPrefix(filepath.Base(path), "door_") {
			sum += tcx - cgroup
		}
	}
	return sum, nil
}
