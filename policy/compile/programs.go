// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// pathGrant is an entry of a process set: the rule that allows a path.
type pathGrant struct {
	path    string
	program uint32 // of the path alone
	ref     policy.RuleRef
	rule    uint32
}

// processSet adds a process set. It returns 0 for no paths.
func (b builder) processSet(paths []pathGrant) uint32 {
	if len(paths) == 0 {
		return 0
	}
	slices.SortFunc(paths, func(x, y pathGrant) int { return cmp.Compare(x.path, y.path) })
	e := encode(kindProcesses)
	for i, g := range paths {
		paths[i].program, paths[i].rule = b.id(programSum([]string{g.path})), b.rule(g.ref)
		e = e.string(g.path).number(int(paths[i].rule))
	}
	id := b.id(e.sum())
	b.out.processes[id] = paths
	return id
}

// programSum is the content of a program: its paths.
func programSum(paths []string) sum { return encode(kindProgram).strings(paths).sum() }

// programs names the sets of paths that are one file and completes the process
// sets: one of them allows such a file by the first of the rules that name one of
// its paths.
func (im *Image) programs(ids *IDs, sets [][]string, processes map[uint32][]pathGrant) {
	type program struct {
		id    uint32
		paths []string
	}
	var shared []program
	for _, set := range sets {
		paths := slices.DeleteFunc(sortedSet(set, cmp.Compare), func(path string) bool {
			_, named := im.Paths[path]
			return !named
		})
		var id uint32
		if len(paths) > 0 {
			id = ids.of(programSum(paths)).id
		}
		if len(paths) > 1 {
			shared = append(shared, program{id, paths})
		}
		im.Programs = append(im.Programs, id)
	}
	for id, grants := range processes {
		for _, g := range grants {
			im.Processes[ProcessKey{id, g.program}] = g.rule
		}
		for _, p := range shared {
			if rule := firstFor(grants, p.paths); rule != 0 {
				im.Processes[ProcessKey{id, p.id}] = rule
			}
		}
	}
}

// firstFor is the first rule that names one of paths, 0 for none.
func firstFor(grants []pathGrant, paths []string) uint32 {
	var first pathGrant
	for _, g := range grants {
		if slices.Contains(paths, g.path) && (first.rule == 0 || compareRefs(g.ref, first.ref) < 0) {
			first = g
		}
	}
	return first.rule
}

// compareRefs orders the rules of a layer as they are named.
func compareRefs(a, b policy.RuleRef) int {
	return cmp.Or(a.Policy.Compare(b.Policy), cmp.Compare(a.Index, b.Index))
}
