// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// portSet is a port set's entries: each key with its grant.
type portSet struct {
	keys   []PortKey
	grants []Grant
}

// portSet adds what some of the terms grant together. It returns the zero PortSet
// for none.
func (b builder) portSet(terms []term, which []int) PortSet {
	if len(which) == 0 {
		return PortSet{}
	}
	at := make(exact)
	var out PortSet
	var set portSet
	for _, i := range which {
		for _, key := range terms[i].ports {
			at.add(key, i, len(terms[i].processes) == 0)
			set.keys = append(set.keys, key)
			if key.Protocol != policy.AnyProtocol {
				out.Lengths |= 1 << key.Bits
				if key.Bits == 16 {
					out.Lengths |= filterBit(key.Protocol, key.Port)
				}
			}
		}
	}
	if !slices.Contains(set.keys, PortKey{}) {
		out.Lengths |= noAny
	}
	set.keys = sortedSet(set.keys, comparePorts)
	e := encode(kindPorts)
	for _, key := range set.keys {
		g := b.grant(terms, at.covering(key, out.Lengths))
		set.grants = append(set.grants, g)
		e = append(e.port(key).number(int(g.Rule)).number(int(g.Processes)), byte(g.Verdict))
	}
	out.ID = b.id(e.sum())
	b.out.ports[out.ID] = set
	return out
}

// exact lists, for each key, the terms that have it, as far as they may count: of
// those for every process the first.
type exact map[PortKey]struct {
	everyProcess bool
	terms        []int
}

func (x exact) add(key PortKey, term int, everyProcess bool) {
	have := x[key]
	if everyProcess && have.everyProcess {
		return
	}
	have.everyProcess = have.everyProcess || everyProcess
	have.terms = append(have.terms, term)
	x[key] = have
}

// covering is the terms, ascending, that have a key which covers k, one of the
// lengths that occur. A term that covers k by several longer keys does not count:
// k does not answer for their ports.
func (x exact) covering(k PortKey, lengths uint32) []int {
	out := slices.Clone(x[everyPort].terms)
	for bits := uint8(0); bits <= k.Bits && k.Protocol != policy.AnyProtocol; bits++ {
		if lengths&(1<<bits) != 0 {
			key := PortKey{Protocol: k.Protocol, Bits: bits, Port: k.Port >> (16 - bits) << (16 - bits)}
			out = append(out, x[key].terms...)
		}
	}
	return sortedSet(out, cmp.Compare)
}

// grant is what terms grant: for each path that they name, and for every process,
// the first of them.
func (b builder) grant(terms []term, which []int) Grant {
	var out Grant
	var paths []pathGrant
	for _, i := range which {
		t := terms[i]
		if len(t.processes) == 0 && out.Rule == 0 {
			out.Rule, out.Verdict = b.rule(t.ref), t.verdict
		}
		for _, path := range t.processes {
			named := func(g pathGrant) bool { return g.path == path }
			if !slices.ContainsFunc(paths, named) {
				paths = append(paths, pathGrant{path: path, ref: t.ref})
			}
		}
	}
	out.Processes = b.processSet(paths)
	out.Patterns = slices.ContainsFunc(paths, func(g pathGrant) bool {
		folder, _ := selector{path: g.path}.pattern()
		return folder != ""
	})
	return out
}

// noAny of PortSet.Lengths says that there is no entry of every protocol.
const noAny = 1 << 31

// filterBit is the bit of PortSet.Lengths that stands for an exact port.
func filterBit(proto policy.Protocol, port uint16) uint32 {
	const from, bits = 17, 14
	return 1 << (from + (uint32(port)*31+uint32(proto))%bits)
}
