// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"slices"
	"strings"
)

// notProgram begins the key of what names a file only to the rules on files.
const notProgram = "\x00"

// asFile adds to the selectors that name a file as a program those that name it to the
// rules on files. Others are the patterns around its paths that none of them lies in: it
// is reached by way of a link.
func (p *programs) asFile(exact []selector, paths []string) (all, others []selector) {
	all = slices.Clip(exact)
	var around []selector
	for _, path := range sortedSet(paths, cmp.Compare) {
		if s := (selector{path: path}); p.named[s] == 0 {
			around = append(around, p.around(path[:strings.LastIndexByte(path, '/')+1])...)
		} else if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for _, s := range sortedSet(around, compareSelectors) {
		if !slices.ContainsFunc(all, func(in selector) bool { return in.within(s) }) {
			others = append(others, s)
		}
	}
	return all, others
}

// around is the patterns that are asked of the files in a folder.
func (p *programs) around(folder string) (out []selector) {
	if s := (selector{path: folder + "*"}); p.named[s] != 0 {
		out = append(out, s)
	}
	for at := range foldersAround(folder) {
		if s := (selector{path: at + "**"}); p.named[s] != 0 {
			return append(out, s)
		}
	}
	return out
}

// within says whether all that s names lies in what a pattern names.
func (s selector) within(pattern selector) bool {
	folder, deep := pattern.pattern()
	rest, inside := strings.CutPrefix(s.path, folder)
	return inside && (deep || rest == "*" || rest != "**" && !strings.Contains(rest, "/"))
}

// place is the patterns that are asked of what lies in a folder to which several paths
// lead.
func (p *programs) place(ids *IDs, paths []string) (out Folder) {
	var files, below []selector
	for _, folder := range paths {
		for _, s := range p.around(folder) {
			if files = append(files, s); strings.HasSuffix(s.path, "**") {
				below = append(below, s)
			}
		}
	}
	if len(files) > len(below) {
		out.Files = p.common(ids, files)
	}
	out.Below = p.common(ids, below)
	return out
}

// common is the id of what lies in all of some patterns, 0 for none.
func (p *programs) common(ids *IDs, patterns []selector) uint32 {
	patterns = sortedSet(patterns, compareSelectors)
	patterns = slices.DeleteFunc(slices.Clone(patterns), func(s selector) bool {
		return slices.ContainsFunc(patterns, func(in selector) bool { return in != s && in.within(s) })
	})
	switch len(patterns) {
	case 0:
		return 0
	case 1:
		return p.named[patterns[0]]
	}
	var keys []string
	for _, s := range patterns {
		keys = append(keys, notProgram+s.key())
	}
	id := ids.of(programSum(keys)).id
	if !p.known[id] {
		p.known[id] = true
		p.used(use{id, patterns}, patterns)
	}
	return id
}
