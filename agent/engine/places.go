// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"strings"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/policy"
)

// lacking is what of some paths is to be looked up: what never was or was not there, or
// all of them.
func lacking(known map[string]datapath.Resolution, paths []string, anew bool) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return !anew && known[p].File != (datapath.File{})
	})
}

// has says whether all that rules name has been looked up.
func (c *contents) has(want *named) bool {
	return hasAll(c.Paths, want.paths) && hasAll(c.Uses, c.wanted.uses) && hasAll(c.Places, c.wanted.places)
}

func hasAll(known map[string]datapath.Resolution, paths []string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool {
		_, ok := known[p]
		return !ok
	})
}

// groupPlaces finds the paths that are one folder in some container.
func (f *files) groupPlaces() {
	index := make(map[string]int)
	f.places, f.inside = nil, nil
	for _, known := range f.containers {
		byFolder := make(map[datapath.File][]string)
		for _, p := range known.wanted.places {
			if r := known.Places[p]; r.File != (datapath.File{}) {
				byFolder[r.File] = append(byFolder[r.File], p, withSlash(r.Path))
			}
		}
		for folder, paths := range byFolder {
			slices.Sort(paths)
			paths = slices.Compact(paths)
			id := strings.Join(paths, "\x00")
			i, ok := index[id]
			if !ok {
				i = len(f.places)
				index[id] = i
				f.places = append(f.places, paths)
			}
			f.inside = append(f.inside, member{folder, i})
		}
	}
}

// elsewhere says whether a folder that patterns name is not where they say, nor where it
// usually is.
func (c *contents) elsewhere() bool {
	for _, p := range c.wanted.places {
		r := c.Places[p]
		if at := withSlash(r.Path); r.File != (datapath.File{}) && at != p && at != policy.Resolved(p) {
			return true
		}
	}
	return false
}

// useStatus tells in words where a path or pattern of a rule on files led, if elsewhere.
func (f *files) useStatus(path string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if isPattern(path) {
		path = strings.TrimRight(path, "*")
	}
	return f.uses[path]
}

// useNotes are what useStatus tells.
func (f *files) useNotes() map[string]string {
	led := make(map[string][]string)
	for _, c := range f.containers {
		for _, p := range c.wanted.uses {
			led[p] = append(led[p], c.Uses[p].Path)
		}
		for _, p := range c.wanted.places {
			led[p] = append(led[p], withSlash(c.Places[p].Path))
		}
	}
	notes := make(map[string]string, len(led))
	for p, to := range led {
		var list []string
		slices.Sort(to)
		for _, at := range slices.Compact(to) {
			if at != p && at != "" && at != "/" {
				list = append(list, p+" is "+at)
			}
		}
		notes[p] = strings.Join(list, "; ")
	}
	return notes
}

func withSlash(folder string) string { return strings.TrimSuffix(folder, "/") + "/" }
