// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"slices"
)

// processSet adds a process set and its paths. It returns 0 for no paths.
func (b *builder) processSet(paths []pathGrant) uint32 {
	if len(paths) == 0 {
		return 0
	}
	slices.SortFunc(paths, func(x, y pathGrant) int { return cmp.Compare(x.path, y.path) })
	e := encode(kindProcesses)
	for _, g := range paths {
		e = e.string(g.path).number(int(b.rule(g.rule.ref)))
		b.image.Paths[g.path] = b.program([]string{g.path})
	}
	id := b.ids.of(e.sum())
	b.processes[id] = paths
	return id
}

// program is the id of a set of paths.
func (b *builder) program(paths []string) uint32 {
	return b.ids.of(encode(kindProgram).strings(paths).sum())
}

// programs names the sets of paths that are one file and completes the process
// sets, which must all be there: one of them allows such a file by the first of
// the rules that name one of its paths.
func (b *builder) programs(sets [][]string) {
	type program struct {
		id    uint32
		paths []string
	}
	var all []program
	for path, id := range b.image.Paths {
		all = append(all, program{id, []string{path}})
	}
	for _, set := range sets {
		paths := slices.DeleteFunc(sortedSet(set, cmp.Compare), func(path string) bool {
			_, named := b.image.Paths[path]
			return !named
		})
		var id uint32
		if len(paths) > 0 {
			id = b.program(paths)
		}
		if len(paths) > 1 {
			all = append(all, program{id, paths})
		}
		b.image.Programs = append(b.image.Programs, id)
	}
	for set, grants := range b.processes {
		for _, p := range all {
			if r := firstFor(grants, p.paths); r != nil {
				b.image.Processes[ProcessKey{set, p.id}] = b.rule(r.ref)
			}
		}
	}
}

// firstFor is the first rule that names one of paths.
func firstFor(grants []pathGrant, paths []string) *rule {
	var first *rule
	for _, g := range grants {
		if slices.Contains(paths, g.path) && (first == nil || g.rule.before(first)) {
			first = g.rule
		}
	}
	return first
}

// before says whether r is named rather than o, a rule of the same layer.
func (r *rule) before(o *rule) bool {
	return cmp.Or(r.ref.Policy.Compare(o.ref.Policy), cmp.Compare(r.ref.Index, o.ref.Index)) < 0
}
