// SPDX-License-Identifier: Apache-2.0

// Package state owns the kernel maps that all programs share: it makes, pins and
// opens them, and registers pods in those that hold identity. Its Raw types are
// the C structs of bpf/include/types.h, written by bpf2go.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// ErrNotInstalled says that there are no pins: no agent ran since boot.
var ErrNotInstalled = errors.New("no pinned maps: no agent has run here since boot")

// Rule sets with a meaning of their own.
const (
	RuleSetClosed uint32 = 0
	RuleSetOpen   uint32 = 1
)

// Dir is a folder on a bpf filesystem that holds one instance's pins:
//
//	maps/NAME       made once, never dropped while the instance lives
//	progs/NAME      the programs that the plugin attaches
//	links/NAME      the node-wide links
//	pods/KEY/NAME   the links of one pod
type Dir string

// Map is where a map is pinned.
func (d Dir) Map(name string) string { return filepath.Join(string(d), "maps", name) }

// Prog is where a program is pinned.
func (d Dir) Prog(name string) string { return filepath.Join(string(d), "progs", name) }

// Link is where a node-wide link is pinned.
func (d Dir) Link(name string) string { return filepath.Join(string(d), "links", name) }

// Pod is the folder of one pod's links.
func (d Dir) Pod(key string) string { return filepath.Join(string(d), "pods", key) }

// Sizes are the capacities of the maps that grow with load, in entries. Zero
// keeps the default of bpf/include/maps.h.
type Sizes struct {
	Pods, Addresses, Prefixes, Edges, Ports, Permits, FileRules, Processes, Flows, Cgroups uint32
}

// fragmentsEach is FRAGMENTS_EACH of bpf/include/maps.h.
const fragmentsEach = 32

func (z Sizes) apply(spec *ebpf.CollectionSpec) {
	for name, n := range map[string]uint32{
		RawMapPods: z.Pods, RawMapDoors: z.Pods, RawMapNetnses: z.Pods, RawMapOwners: 4 * z.Pods,
		RawMapRules: z.Pods, RawMapCounts: z.Pods,
		RawMapPeers: z.Addresses, RawMapPrefixes: z.Prefixes, RawMapEdges: z.Edges, RawMapPorts: z.Ports,
		RawMapPermits: z.Permits, RawMapFileRules: z.FileRules,
		RawMapFragments: fragmentsEach * z.Pods, RawMapSubscribed: z.Pods, RawMapDeferrals: z.Pods, RawMapNodeAddrs: z.Pods,
		RawMapProcs: z.Processes, RawMapThreadCreds: z.Processes, RawMapFlows: z.Flows, RawMapAging: 2 * z.Flows,
		RawMapCgroups: z.Cgroups, RawMapContainers: z.Cgroups, RawMapFresh: z.Cgroups, RawMapResolved: z.Cgroups,
	} {
		if n != 0 {
			spec.Maps[name].MaxEntries = n
		}
	}
}

// State is one instance's maps. The caller must Close it; the pins stay.
type State struct {
	RawMaps
	Dir Dir
}

// Create opens the pinned maps under dir and makes those that are missing. Maps
// that are pinned keep their size and content; one of another layout is an error
// that tells how to get rid of it.
func Create(dir Dir, sizes Sizes) (*State, error) {
	for _, d := range []string{"maps", "progs", "links", "pods"} {
		if err := os.MkdirAll(filepath.Join(string(dir), d), 0o700); err != nil {
			return nil, fmt.Errorf("make pin folder: %w", err)
		}
	}
	spec, err := LoadRaw()
	if err != nil {
		return nil, fmt.Errorf("read embedded maps: %w", err)
	}
	sizes.apply(spec)
	for name, m := range spec.Maps {
		if !isMap(name) {
			continue
		}
		m.Pinning = ebpf.PinByName
		if old, err := ebpf.LoadPinnedMap(dir.Map(name), nil); err == nil {
			m.MaxEntries = old.MaxEntries()
			old.Close()
		}
	}
	s := &State{Dir: dir}
	opts := &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: filepath.Join(string(dir), "maps")}}
	if err := spec.LoadAndAssign(&s.RawMaps, opts); err != nil {
		if errors.Is(err, ebpf.ErrMapIncompatible) {
			return nil, fmt.Errorf("pinned maps are of another version, run `sluice uninstall` first: %w", err)
		}
		return nil, fmt.Errorf("make maps: %w", err)
	}
	return s, nil
}

// New makes maps that are pinned nowhere and go with Close: for trials and tests.
func New() (*State, error) {
	s := new(State)
	if err := LoadRawObjects(&s.RawMaps, nil); err != nil {
		return nil, fmt.Errorf("make maps: %w", err)
	}
	return s, nil
}

// Open opens the maps that an agent has pinned under dir, ErrNotInstalled if
// there are none.
func Open(dir Dir) (*State, error) {
	s := &State{Dir: dir}
	fields, err := s.fields()
	if err != nil {
		return nil, err
	}
	for name, to := range fields {
		m, err := ebpf.LoadPinnedMap(dir.Map(name), nil)
		if errors.Is(err, fs.ErrNotExist) {
			s.Close()
			return nil, ErrNotInstalled
		}
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("open pinned map %s: %w", name, err)
		}
		*to = m
	}
	return s, nil
}

// Load loads a feature's programs over the shared maps. The caller must close the
// collection.
func (s *State) Load(spec *ebpf.CollectionSpec) (*ebpf.Collection, error) {
	fields, err := s.fields()
	if err != nil {
		return nil, err
	}
	shared := make(map[string]*ebpf.Map)
	for name, m := range spec.Maps {
		if to := fields[name]; to != nil {
			m.MaxEntries = (*to).MaxEntries()
			shared[name] = *to
		}
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	var verr *ebpf.VerifierError
	if errors.As(err, &verr) {
		return nil, fmt.Errorf("load programs: %+v", verr)
	}
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	return c, nil
}

// PinProgram pins p under name, in the place of what is pinned there.
func (d Dir) PinProgram(name string, p *ebpf.Program) error {
	next := d.Prog(name) + "_next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pin program %s: %w", name, err)
	}
	if err := p.Pin(next); err != nil {
		return fmt.Errorf("pin program %s: %w", name, err)
	}
	if err := os.Rename(next, d.Prog(name)); err != nil {
		return fmt.Errorf("pin program %s: %w", name, err)
	}
	return nil
}
