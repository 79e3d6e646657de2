// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

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
		paths[i].program, paths[i].rule = b.program(selector{path: g.path}), b.rule(g.ref)
		e = e.string(g.path).number(int(paths[i].rule))
	}
	id := b.id(e.sum())
	b.out.processes[id] = paths
	return id
}

// programSum is the content of a program: the keys of its selectors.
func programSum(keys []string) sum { return encode(kindProgram).strings(keys).sum() }

// programs are the ids of everything that rules name.
type programs struct {
	named  map[selector]uint32 // by what a rule says
	files  []uint32            // of Input.Programs
	shared []shared
	places []Folder              // of Input.Places
	also   map[selector][]uint32 // further ids that stand for a selector
	uses   map[selector][]use    // what a rule on files is about, by each of its selectors
	known  map[uint32]bool       // ids of several selectors
}

// shared is a file that several selectors name.
type shared struct {
	id        uint32
	selectors []selector
}

// newPrograms names the files and finds what else stands for a selector: files that
// others name too, and the patterns for deeper folders.
func newPrograms(ids *IDs, all tables, in Input) *programs {
	p := &programs{
		named: make(map[selector]uint32), also: make(map[selector][]uint32),
		uses: make(map[selector][]use), known: make(map[uint32]bool),
	}
	for _, grants := range all.processes {
		for _, g := range grants {
			p.named[selector{path: g.path}] = g.program
		}
	}
	for _, list := range all.permits {
		for _, x := range list {
			for i, s := range []selector{x.program, x.parent} {
				if s != (selector{}) && s != ofImage {
					p.named[s] = x.ids[i]
				}
			}
		}
	}
	for _, list := range all.files {
		for _, r := range list {
			for i, s := range r.names {
				p.named[s] = r.ids[i]
			}
			for _, x := range r.permits {
				if x.program != (selector{}) {
					p.named[x.program] = x.ids[0]
				}
			}
		}
	}
	for _, s := range slices.SortedFunc(maps.Keys(p.named), compareSelectors) {
		p.used(use{p.named[s], []selector{s}}, []selector{s})
	}
	for _, f := range in.Programs {
		p.files = append(p.files, p.file(ids, f))
	}
	for _, paths := range in.Places {
		p.places = append(p.places, p.place(ids, paths))
	}
	for s, id := range p.named {
		folder, deep := s.pattern()
		for at := range foldersAround(folder) {
			if around := (selector{path: at + "**"}); deep && around != s && p.named[around] != 0 {
				p.also[around] = append(p.also[around], id)
			}
		}
	}
	return p
}

// file is the id of a file.
func (p *programs) file(ids *IDs, f Program) uint32 {
	var keys []string
	var by []selector
	for _, path := range sortedSet(f.Paths, cmp.Compare) {
		for _, s := range []selector{{path: path}, {path, f.SHA256}} {
			if p.named[s] != 0 && !slices.Contains(by, s) {
				keys, by = append(keys, s.key()), append(by, s)
			}
		}
	}
	exact, others := p.asFile(by, f.Files)
	for _, s := range slices.Concat(exact[len(by):], others) {
		keys = append(keys, notProgram+s.key())
	}
	if len(exact) == 0 {
		return 0
	}
	id := ids.of(programSum(keys)).id
	if len(keys) == 1 && len(by) == 1 || p.known[id] {
		return id
	}
	p.known[id] = true
	if len(by) > 0 {
		p.shared = append(p.shared, shared{id, by})
	}
	for _, s := range by {
		p.also[s] = append(p.also[s], id)
	}
	p.used(use{id, slices.Concat(exact, others)}, exact)
	return id
}

// standFor is the ids of the programs that a selector names, 0 for the zero one.
func (p *programs) standFor(s selector) []uint32 {
	if s == ofImage {
		return []uint32{ProgramOfImage}
	}
	return append([]uint32{p.named[s]}, p.also[s]...)
}

// foldersAround is a folder and those that it lies in, from the deepest; each ends with a
// slash.
func foldersAround(folder string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for folder != "" && yield(folder) {
			folder = folder[:strings.LastIndexByte(folder[:len(folder)-1], '/')+1]
		}
	}
}

// name fills in what names programs: a process set allows a file that several paths
// lead to by the first of the rules that name one of them.
func (im *Image) name(ids *IDs, p *programs, all tables) {
	im.Programs, im.Places = p.files, p.places
	im.Paths, im.Folders = make(map[string]uint32), make(map[string]Folder)
	for s, id := range p.named {
		if folder, _ := s.pattern(); folder != "" {
			im.Folders[folder] = p.folder(folder)
		} else if s.sum == "" {
			im.Paths[s.path] = id
		}
	}
	for id, grants := range all.processes {
		im.processSet(id, grants, p)
	}
	for id, list := range all.permits {
		im.permits(id, list, p)
	}
	for _, id := range slices.Sorted(maps.Keys(all.files)) {
		im.fileRules(ids, id, all.files[id], p)
	}
}

// folder is the patterns that are asked of what lies in a folder.
func (p *programs) folder(folder string) Folder {
	out := Folder{Files: p.named[selector{path: folder + "*"}]}
	for at := range foldersAround(folder) {
		if out.Below = p.named[selector{path: at + "**"}]; out.Below != 0 {
			break
		}
	}
	return out
}

// processSet fills in a process set: of all that it names, of the files that several
// paths lead to, and of patterns within its own, the first rule.
func (im *Image) processSet(id uint32, grants []pathGrant, p *programs) {
	by := make(map[string]pathGrant, len(grants))
	for _, g := range grants {
		by[g.path] = g
	}
	for _, g := range grants {
		im.Processes[ProcessKey{id, g.program}] = firstOf(by, namesAround(g.path))
		if folder, deep := (selector{path: g.path}).pattern(); deep {
			for path, program := range p.within(folder) {
				im.Processes[ProcessKey{id, program}] = firstOf(by, namesAround(path))
			}
		}
	}
	for _, f := range p.shared {
		var paths []string
		for _, s := range f.selectors {
			if s.sum == "" {
				paths = append(paths, s.path)
			}
		}
		if rule := firstOf(by, slices.Values(paths)); rule != 0 {
			im.Processes[ProcessKey{id, f.id}] = rule
		}
	}
}

// within gives the patterns for what lies in a folder, or deeper, with their ids.
func (p *programs) within(folder string) iter.Seq2[string, uint32] {
	return func(yield func(string, uint32) bool) {
		for s, id := range p.named {
			if inner, _ := s.pattern(); inner != "" && strings.HasPrefix(inner, folder) && !yield(s.path, id) {
				return
			}
		}
	}
}

// firstOf is the first of the rules by some paths and patterns, 0 for none.
func firstOf(by map[string]pathGrant, paths iter.Seq[string]) uint32 {
	var first pathGrant
	for path := range paths {
		if g, ok := by[path]; ok && (first.rule == 0 || compareRefs(g.ref, first.ref) < 0) {
			first = g
		}
	}
	return first.rule
}

// namesAround is a path or pattern, and the patterns that match all that it matches.
func namesAround(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		folder, deep := selector{path: path}.pattern()
		if folder == "" {
			folder = path[:strings.LastIndexByte(path, '/')+1]
			if !yield(path) {
				return
			}
		}
		if !deep && !yield(folder+"*") {
			return
		}
		for at := range foldersAround(folder) {
			if !yield(at + "**") {
				return
			}
		}
	}
}

// compareRefs orders the rules of a layer as they are named.
func compareRefs(a, b policy.RuleRef) int {
	return cmp.Or(a.Policy.Compare(b.Policy), cmp.Compare(a.Index, b.Index))
}
