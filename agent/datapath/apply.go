// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy/compile"
)

// tables are the maps whose writer is the agent.
type tables struct {
	rulesets  table[uint32, state.RawRuleset]
	edges     table[state.RawEdge, state.RawPortSet]
	ports     table[state.RawPortKey, state.RawGrant]
	processes table[state.RawProcessKey, uint32]
	peers     table[state.RawAddr, uint32]
	prefixes  table[state.RawPrefix, uint32]
	formers   table[state.RawFormerKey, state.RawFormer]
	paths     table[state.RawPathKey, uint32]
	programs  table[state.RawProgram, uint32]
	permits   table[state.RawPermit, uint32]
	folders   table[state.RawFolderKey, state.RawFolder]
	fileRules table[state.RawFileKey, state.RawRuntimeHead]
	places    table[state.RawProgram, state.RawFolder]
	resolved  table[uint64, uint32]
	sources   table[state.RawSource, uint32]
	services  table[state.RawAddr, uint32]
	nodePorts table[state.RawNodePort, uint32]
	nodeAddrs table[state.RawAddr, uint32]
}

func (t *tables) open(s *state.State) error {
	return errors.Join(
		t.rulesets.open(s.Rulesets), t.edges.open(s.Edges), t.ports.open(s.Ports), t.processes.open(s.Processes),
		t.peers.open(s.Peers), t.prefixes.open(s.Prefixes), t.formers.open(s.Formers), t.paths.open(s.Paths),
		t.programs.open(s.Programs), t.permits.open(s.Permits), t.folders.open(s.Folders), t.fileRules.open(s.FileRules),
		t.places.open(s.Places), t.resolved.open(s.Resolved), t.sources.open(s.Sources),
		t.services.open(s.Services), t.nodePorts.open(s.NodePorts), t.nodeAddrs.open(s.NodeAddrs))
}

// refused counts, by map, the entries that found no room since the agent started.
func (t *tables) refused() map[string]uint64 {
	return map[string]uint64{
		state.RawMapRulesets: t.rulesets.refused.Load(), state.RawMapEdges: t.edges.refused.Load(),
		state.RawMapPorts: t.ports.refused.Load(), state.RawMapProcesses: t.processes.refused.Load(),
		state.RawMapPeers: t.peers.refused.Load(), state.RawMapPrefixes: t.prefixes.refused.Load(),
		state.RawMapFormers: t.formers.refused.Load(), state.RawMapPermits: t.permits.refused.Load(),
		state.RawMapFolders: t.folders.refused.Load(), state.RawMapFileRules: t.fileRules.refused.Load(), state.RawMapPlaces: t.places.refused.Load(),
		state.RawMapPaths: t.paths.refused.Load(), state.RawMapPrograms: t.programs.refused.Load(),
		state.RawMapResolved: t.resolved.refused.Load(), state.RawMapSources: t.sources.refused.Load(),
		state.RawMapServices: t.services.refused.Load(), state.RawMapNodePorts: t.nodePorts.refused.Load(),
		state.RawMapNodeAddrs: t.nodeAddrs.refused.Load(),
	}
}

// Desired is all that the policy maps are to hold.
type Desired struct {
	Image *compile.Image
	Rules map[uint32]state.RawAssignment // by slot: the rules each pod is to have
	Files map[File]uint32                // program id of each file that a rule names
	// Places are the folders that file patterns are about.
	Places map[File]compile.Folder
	// Containers whose Files and Places are complete; true: a folder lies elsewhere than
	// its pattern says.
	Containers map[uint64]bool
	// Sources are the CIDRs that pods, by their id, may use as source addresses.
	Sources map[uint32][]netip.Prefix
	// Formers say, of each of the Image's, which connections it holds for.
	Formers map[compile.FormerKey]Span
	// NodeAddrs are this node's own addresses.
	NodeAddrs []netip.Addr
	// Deferring are the pods, by slot, whose flows are seen after DNAT too.
	Deferring map[uint32]uint32
}

// Span is the time when connections began, of CLOCK_BOOTTIME in ns: From, but not Until.
type Span struct{ From, Until uint64 }

// File is a file as seen in one container, by its cgroup id.
type File struct {
	Container uint64
	Ino       uint64
	Dev       uint32 // kernel notation
}

// Apply brings the kernel to d. First everything new is entered, which no pod
// refers to yet. Then addresses get their classes, under which old and new rule
// sets mean the same: compile keeps the old ones for that. So it is with programs:
// what a list allows of a file or folder that becomes another is there before. Then each pod is
// switched by one write, and last goes what nobody needs. On ErrNoFit no pod has
// been switched.
func (d *Datapath) Apply(want Desired) error {
	t, img := &d.tables, want.Image
	for _, step := range []func() error{
		func() error { return t.processes.add(lowered(img.Processes, lowerProcess)) },
		func() error { return t.ports.add(lowered(img.Ports, lowerPort)) },
		func() error { return t.edges.add(lowered(img.Edges, lowerEdge)) },
		func() error { return t.permits.add(lowered(img.Permits, lowerPermit)) },
		func() error { return t.fileRules.add(lowered(img.FileRules, lowerFileRule)) },
		func() error { return t.rulesets.add(lowered(img.RuleSets, lowerRuleSet)) },
		func() error { return t.prefixes.add(prefixes(img)) },
		func() error { return t.formers.add(lowered(img.Formers, want.lowerFormer)) },
		func() error { return t.peers.add(lowered(img.Peers, lowerPeer)) },
		t.peers.prune,
		t.prefixes.prune,
		func() error { return t.folders.add(lowered(img.Folders, lowerFolder)) },
		func() error { return t.paths.add(lowered(img.Paths, lowerPath)) },
		func() error { return t.programs.add(lowered(want.Files, lowerFile)) },
		func() error { return t.places.add(lowered(want.Places, lowerPlace)) },
		func() error { return t.resolved.add(lowered(want.Containers, lowerContainer)) },
		func() error { return t.sources.add(sources(want.Sources)) },
		func() error { return t.services.add(each(img.Services, state.AddrKey)) },
		func() error { return t.nodePorts.add(each(img.NodePorts, lowerNodePort)) },
		func() error { return t.nodeAddrs.add(each(want.NodeAddrs, state.AddrKey)) },
		func() error { return d.assign(want.Rules) },
		func() error { return d.deferFor(want.Deferring) },
		t.formers.prune,
		t.sources.prune,
		t.services.prune,
		t.nodePorts.prune,
		t.nodeAddrs.prune,
		t.rulesets.prune,
		t.edges.prune,
		t.ports.prune,
		t.processes.prune,
		t.folders.prune,
		t.places.prune,
		t.fileRules.prune,
		t.permits.prune,
		t.paths.prune,
		t.resolved.prune,
		t.programs.prune,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// assign gives each pod its rule set; a slot that another pod has taken meanwhile
// keeps what the plugin gave it.
func (d *Datapath) assign(rules map[uint32]state.RawAssignment) error {
	for slot, want := range rules {
		var have state.RawAssignment
		if err := d.state.Rules.Lookup(slot, &have); err != nil {
			return fmt.Errorf("read rules of slot %d: %w", slot, err)
		}
		if have == want {
			continue
		}
		owner, err := d.owner(slot)
		if err != nil {
			return err
		}
		if owner != want.Pod {
			continue
		}
		if err := d.give(slot, want); err != nil {
			return err
		}
	}
	return nil
}

// give writes the rules of a slot. If another pod took the slot before the write,
// that pod is closed until its own rules come: these are not its.
func (d *Datapath) give(slot uint32, rules state.RawAssignment) error {
	for {
		if err := d.state.Rules.Put(slot, rules); err != nil {
			return fmt.Errorf("switch rules of slot %d: %w", slot, err)
		}
		owner, err := d.owner(slot)
		if err != nil || owner == rules.Pod {
			return err
		}
		rules = state.RawAssignment{Pod: owner, Ruleset: state.RuleSetClosed}
	}
}

// owner is the id of the pod that has a slot, 0 if it is free.
func (d *Datapath) owner(slot uint32) (uint32, error) {
	var p state.RawPod
	if err := d.state.Pods.Lookup(slot, &p); err != nil {
		return 0, fmt.Errorf("read slot %d: %w", slot, err)
	}
	return p.Id, nil
}
