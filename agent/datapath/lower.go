// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"iter"
	"net/netip"

	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy/compile"
)

// lowered is a map in the terms of a kernel map.
func lowered[A comparable, B any, K, V comparable](m map[A]B, lower func(A, B) (K, V)) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for a, b := range m {
			if !yield(lower(a, b)) {
				return
			}
		}
	}
}

// each is a list as the keys of a kernel map.
func each[A any, K comparable](list []A, key func(A) K) iter.Seq2[K, uint32] {
	return func(yield func(K, uint32) bool) {
		for _, a := range list {
			if !yield(key(a), 1) {
				return
			}
		}
	}
}

func lowerProcess(k compile.ProcessKey, rule uint32) (state.RawProcessKey, uint32) {
	return state.RawProcessKey{Set: k.Set, Program: k.Program}, rule
}

func lowerPort(k compile.PortKey, g compile.Grant) (state.RawPortKey, state.RawGrant) {
	return state.RawPortKey{Set: k.Set, Protocol: uint8(k.Protocol), Bits: k.Bits, Port: k.Port},
		state.RawGrant{Rule: g.Rule, Processes: g.Processes, Outcome: uint8(g.Verdict), Patterns: flag(g.Patterns)}
}

func lowerEdge(e compile.Edge, set compile.PortSet) (state.RawEdge, state.RawPortSet) {
	return state.RawEdge{List: e.List, Class: e.Class}, state.RawPortSet{Id: set.ID, Lengths: set.Lengths}
}

func lowerPeer(a netip.Addr, class uint32) (state.RawAddr, uint32) { return state.AddrKey(a), class }

func (want *Desired) lowerFormer(k compile.FormerKey, class uint32) (state.RawFormerKey, state.RawFormer) {
	span := want.Formers[k]
	return state.RawFormerKey{Addr: state.AddrKey(k.Addr), N: k.N}, state.RawFormer{From: span.From, Until: span.Until, Class: class}
}

func lowerPath(path string, id uint32) (state.RawPathKey, uint32) { return pathKey(path), id }

func lowerFile(f File, id uint32) (state.RawProgram, uint32) {
	return state.RawProgram{Container: f.Container, Ino: f.Ino, Dev: f.Dev}, id
}

func lowerPlace(f File, folder compile.Folder) (state.RawProgram, state.RawFolder) {
	key, _ := lowerFile(f, 0)
	return key, state.RawFolder{Files: folder.Files, Below: folder.Below}
}

// lowerContainer gives a container its enum resolved.
func lowerContainer(id uint64, elsewhere bool) (uint64, uint32) {
	if elsewhere {
		return id, resolved | resolvedElsewhere
	}
	return id, resolved
}

// RESOLVED… of bpf/include/act_types.h.
const (
	resolved          = 1
	resolvedElsewhere = 2
)

func lowerNodePort(p compile.NodePort) state.RawNodePort {
	return state.RawNodePort{Port: p.Port, Protocol: uint8(p.Protocol)}
}

// prefixes are those of an image, and all of IPv4. It lives inside ::/0 here: without
// an entry of its own, an IPv6 block shorter than /96 would reach into it.
func prefixes(img *compile.Image) iter.Seq2[state.RawPrefix, uint32] {
	return func(yield func(state.RawPrefix, uint32) bool) {
		v4 := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if _, ok := img.Prefixes[v4]; !ok && !yield(prefixKey(v4), compile.ClassNone) {
			return
		}
		for p, class := range img.Prefixes {
			if !yield(prefixKey(p), class) {
				return
			}
		}
	}
}

// sources are what pods, by their id, may use as source addresses.
func sources(byPod map[uint32][]netip.Prefix) iter.Seq2[state.RawSource, uint32] {
	return func(yield func(state.RawSource, uint32) bool) {
		for pod, prefixes := range byPod {
			for _, p := range prefixes {
				k := prefixKey(p)
				if !yield(state.RawSource{Len: k.Len + sourceBits, Pod: pod, Addr: k.Addr}, 1) {
					return
				}
			}
		}
	}
}

// sourceBits are those of the pod's id, before the address.
const sourceBits = 32

func lowerRuleSet(id uint32, rs compile.RuleSet) (uint32, state.RawRuleset) {
	out := state.RawRuleset{
		Listen:         state.RawPortSet{Id: rs.Listen.ID, Lengths: rs.Listen.Lengths},
		Privileges:     uint8(rs.Privileges),
		PrivilegesRule: rs.PrivilegesRule,
		Audit:          rs.Audit,
		Exec:           lowerHeads(rs.Exec),
		Capabilities:   lowerHeads(rs.Capabilities),
		Files:          rs.Files,
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
	return id, out
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
