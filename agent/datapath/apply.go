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
		t.programs.open(s.Programs), t.resolved.open(s.Resolved), t.sources.open(s.Sources),
		t.services.open(s.Services), t.nodePorts.open(s.NodePorts), t.nodeAddrs.open(s.NodeAddrs))
}

// refused counts, by map, the entries that found no room since the agent started.
func (t *tables) refused() map[string]uint64 {
	return map[string]uint64{
		state.RawMapRulesets: t.rulesets.refused.Load(), state.RawMapEdges: t.edges.refused.Load(),
		state.RawMapPorts: t.ports.refused.Load(), state.RawMapProcesses: t.processes.refused.Load(),
		state.RawMapPeers: t.peers.refused.Load(), state.RawMapPrefixes: t.prefixes.refused.Load(),
		state.RawMapFormers: t.formers.refused.Load(),
		state.RawMapPaths:   t.paths.refused.Load(), state.RawMapPrograms: t.programs.refused.Load(),
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
	// Containers whose Files are complete.
	Containers []uint64
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

// raw is Desired in the maps' own terms.
type raw struct {
	rulesets  map[uint32]state.RawRuleset
	edges     map[state.RawEdge]state.RawPortSet
	ports     map[state.RawPortKey]state.RawGrant
	processes map[state.RawProcessKey]uint32
	peers     map[state.RawAddr]uint32
	prefixes  map[state.RawPrefix]uint32
	formers   map[state.RawFormerKey]state.RawFormer
	paths     map[state.RawPathKey]uint32
	programs  map[state.RawProgram]uint32
	resolved  map[uint64]uint32
	sources   map[state.RawSource]uint32
	services  map[state.RawAddr]uint32
	nodePorts map[state.RawNodePort]uint32
	nodeAddrs map[state.RawAddr]uint32
}

// Apply brings the kernel to d. First everything new is entered, which no pod
// refers to yet. Then addresses get their classes, under which old and new rule
// sets mean the same: compile keeps the old ones for that. Then each pod is
// switched by one write, and last goes what nobody needs. On ErrNoFit no pod has
// been switched.
func (d *Datapath) Apply(want Desired) error {
	r := lower(want)
	t := &d.tables
	for _, step := range []func() error{
		func() error { return t.processes.add(r.processes) },
		func() error { return t.ports.add(r.ports) },
		func() error { return t.edges.add(r.edges) },
		func() error { return t.rulesets.add(r.rulesets) },
		func() error { return t.prefixes.add(r.prefixes) },
		func() error { return t.formers.add(r.formers) },
		func() error { return t.peers.add(r.peers) },
		func() error { return t.peers.prune(r.peers) },
		func() error { return t.prefixes.prune(r.prefixes) },
		func() error { return t.paths.add(r.paths) },
		func() error { return t.programs.add(r.programs) },
		func() error { return t.resolved.add(r.resolved) },
		func() error { return t.sources.add(r.sources) },
		func() error { return t.services.add(r.services) },
		func() error { return t.nodePorts.add(r.nodePorts) },
		func() error { return t.nodeAddrs.add(r.nodeAddrs) },
		func() error { return d.assign(want.Rules) },
		func() error { return d.deferFor(want.Deferring) },
		func() error { return t.formers.prune(r.formers) },
		func() error { return t.sources.prune(r.sources) },
		func() error { return t.services.prune(r.services) },
		func() error { return t.nodePorts.prune(r.nodePorts) },
		func() error { return t.nodeAddrs.prune(r.nodeAddrs) },
		func() error { return t.rulesets.prune(r.rulesets) },
		func() error { return t.edges.prune(r.edges) },
		func() error { return t.ports.prune(r.ports) },
		func() error { return t.processes.prune(r.processes) },
		func() error { return t.paths.prune(r.paths) },
		func() error { return t.resolved.prune(r.resolved) },
		func() error { return t.programs.prune(r.programs) },
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

func lower(want Desired) raw {
	img := want.Image
	r := raw{
		rulesets:  make(map[uint32]state.RawRuleset, len(img.RuleSets)),
		edges:     make(map[state.RawEdge]state.RawPortSet, len(img.Edges)),
		ports:     make(map[state.RawPortKey]state.RawGrant, len(img.Ports)),
		processes: make(map[state.RawProcessKey]uint32, len(img.Processes)),
		peers:     make(map[state.RawAddr]uint32, len(img.Peers)),
		prefixes:  make(map[state.RawPrefix]uint32, len(img.Prefixes)+1),
		formers:   make(map[state.RawFormerKey]state.RawFormer, len(img.Formers)),
		paths:     make(map[state.RawPathKey]uint32, len(img.Paths)),
		programs:  make(map[state.RawProgram]uint32, len(want.Files)),
		resolved:  make(map[uint64]uint32, len(want.Containers)),
		sources:   make(map[state.RawSource]uint32),
		services:  make(map[state.RawAddr]uint32, len(img.Services)),
		nodePorts: make(map[state.RawNodePort]uint32, len(img.NodePorts)),
		nodeAddrs: make(map[state.RawAddr]uint32, len(want.NodeAddrs)),
	}
	lowerReach(want, &r)
	for id, rs := range img.RuleSets {
		r.rulesets[id] = lowerRuleSet(rs)
	}
	for e, set := range img.Edges {
		r.edges[state.RawEdge{List: e.List, Class: e.Class}] = state.RawPortSet{Id: set.ID, Lengths: set.Lengths}
	}
	for k, g := range img.Ports {
		r.ports[state.RawPortKey{Set: k.Set, Protocol: uint8(k.Protocol), Bits: k.Bits, Port: k.Port}] =
			state.RawGrant{Rule: g.Rule, Processes: g.Processes, Outcome: uint8(g.Verdict)}
	}
	for k, rule := range img.Processes {
		r.processes[state.RawProcessKey{Set: k.Set, Program: k.Program}] = rule
	}
	for a, class := range img.Peers {
		r.peers[state.AddrKey(a)] = class
	}
	// IPv4 lives inside ::/0 here: without an entry of its own, an IPv6 block
	// shorter than /96 would reach into it.
	r.prefixes[prefixKey(netip.PrefixFrom(netip.IPv4Unspecified(), 0))] = compile.ClassNone
	for p, class := range img.Prefixes {
		r.prefixes[prefixKey(p)] = class
	}
	for k, class := range img.Formers {
		r.formers[state.RawFormerKey{Addr: state.AddrKey(k.Addr), N: k.N}] =
			state.RawFormer{From: want.Formers[k].From, Until: want.Formers[k].Until, Class: class}
	}
	for path, id := range img.Paths {
		r.paths[pathKey(path)] = id
	}
	for f, id := range want.Files {
		r.programs[state.RawProgram{Container: f.Container, Ino: f.Ino, Dev: f.Dev}] = id
	}
	for _, c := range want.Containers {
		r.resolved[c] = 1
	}
	return r
}

func lowerRuleSet(rs compile.RuleSet) state.RawRuleset {
	out := state.RawRuleset{
		Listen:         state.RawPortSet{Id: rs.Listen.ID, Lengths: rs.Listen.Lengths},
		Privileges:     uint8(rs.Privileges),
		PrivilegesRule: rs.PrivilegesRule,
		Audit:          rs.Audit,
	}
	for dir := range rs.Active {
		for layer, set := range rs.AnyPeer[dir] {
			at := dir*compile.Layers + layer
			out.AnyPeer[at] = state.RawPortSet{Id: set.ID, Lengths: set.Lengths}
			out.Lists[at] = rs.Lists[dir][layer]
			out.Active[at] = flag(rs.Active[dir][layer])
		}
		out.ErrnoResponse[dir] = flag(rs.Errno[dir])
	}
	return out
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func prefixKey(p netip.Prefix) state.RawPrefix {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return state.RawPrefix{Len: uint32(bits), Addr: state.AddrKey(p.Masked().Addr())}
}

// pathKey is path, zero-padded; manifests allow no path that does not fit.
func pathKey(path string) state.RawPathKey {
	var k state.RawPathKey
	copy(k.Path[:], path)
	return k
}
