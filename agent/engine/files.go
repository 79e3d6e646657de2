// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-io/sluice/agent/datapath"
)

// files remembers which file each process path is in each container. A path is
// looked up once, when the container begins or a rule first names it: a file that
// the pod puts there later is not the file that was meant. What was found is
// stored, since an agent that starts again must not look a second time.
type files struct {
	cgroupRoot string
	store      string // file that keeps containers
	containers map[uint64]*contents
	sets       [][]string // sets of paths that are one file, as last resolved
	members    []member

	mu      sync.Mutex
	notes   map[string]string // by path, for readers
	waiting map[uint64]bool   // containers that are not complete
}

// contents is what is known of one container.
type contents struct {
	Begun string // which life of the cgroup id this is
	Own   bool   // it has files of its own
	Paths map[string]datapath.Resolution
}

// member is a file and the index of its paths in sets.
type member struct {
	file datapath.File
	set  int
}

func newFiles(cgroupRoot, stateDir string) *files {
	return &files{
		cgroupRoot: cgroupRoot, store: filepath.Join(stateDir, filesFile), containers: make(map[uint64]*contents),
	}
}

// filesFile holds files.containers between runs.
const filesFile = "files.json"

// save stores what is known, if it differs from what is stored.
func (f *files) save() error {
	b, err := json.Marshal(f.containers)
	if err != nil {
		return fmt.Errorf("encode resolved paths: %w", err)
	}
	return writeIfChanged(f.store, b)
}

// retry makes the next resolve look again for what was not there, in containers
// on the node's own files: what is missing in an image stays missing.
func (f *files) retry() {
	for _, c := range f.containers {
		if c.Own {
			continue
		}
		for path, r := range c.Paths {
			if r.File == (datapath.File{}) {
				delete(c.Paths, path)
			}
		}
	}
}

// resolve looks every path up in every container that live lets through, and
// gives the sets of paths that turned out to be one file. A container without a
// process cannot be looked into: until one starts, the kernel goes by the path.
func (f *files) resolve(dp *datapath.Datapath, paths []string, live func(datapath.Container) bool) ([][]string, error) {
	list, err := dp.Containers()
	if err != nil {
		return nil, err
	}
	now := make(map[uint64]*contents, len(list))
	waiting := make(map[uint64]bool)
	for _, c := range list {
		if !live(c) {
			continue
		}
		now[c.ID] = f.lookup(dp, c, paths)
		for _, p := range paths {
			if _, ok := now[c.ID].Paths[p]; !ok {
				waiting[c.ID] = true
			}
		}
	}
	f.containers = now
	f.group(paths)
	f.describe(paths, waiting)
	return f.sets, f.save()
}

// lookup resolves the paths in one container; what cannot be reached is left out.
func (f *files) lookup(dp *datapath.Datapath, c datapath.Container, paths []string) *contents {
	known := f.containers[c.ID]
	if known == nil || known.Begun != c.Begun() {
		known = &contents{Begun: c.Begun(), Own: c.OwnFiles(), Paths: make(map[string]datapath.Resolution)}
	}
	missing := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { _, ok := known.Paths[p]; return ok })
	if len(missing) == 0 {
		return known
	}
	cgroup, err := datapath.CgroupPath(f.cgroupRoot, c.ID)
	if err != nil {
		cgroup = ""
	}
	r, err := dp.OpenContainer(c, cgroup)
	if err != nil {
		return known
	}
	defer r.Close()
	for _, p := range missing {
		known.Paths[p] = r.Resolve(p)
	}
	return known
}

// waits says whether a container has paths that could not be looked up yet.
func (f *files) waits(container uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting[container]
}

// group finds the paths that are one file in some container.
func (f *files) group(paths []string) {
	index := make(map[string]int)
	f.sets, f.members = nil, nil
	for _, known := range f.containers {
		byFile := make(map[datapath.File][]string)
		for _, p := range paths {
			if r, ok := known.Paths[p]; ok && r.File != (datapath.File{}) {
				byFile[r.File] = append(byFile[r.File], p)
			}
		}
		for file, set := range byFile {
			slices.Sort(set)
			id := strings.Join(set, "\x00")
			i, ok := index[id]
			if !ok {
				i = len(f.sets)
				index[id] = i
				f.sets = append(f.sets, set)
			}
			f.members = append(f.members, member{file, i})
		}
	}
}

// programs gives each file its program id, the ids given by set, and lists the
// containers that are complete.
func (f *files) programs(ids []uint32) (map[datapath.File]uint32, []uint64) {
	out := make(map[datapath.File]uint32, len(f.members))
	for _, m := range f.members {
		if m.set < len(ids) && ids[m.set] != 0 {
			out[m.file] = ids[m.set]
		}
	}
	containers := make([]uint64, 0, len(f.containers))
	for id := range f.containers {
		if !f.waits(id) {
			containers = append(containers, id)
		}
	}
	return out, containers
}

// status tells in words where a path led.
func (f *files) status(path string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.notes[path]
}

// describe renews what status and waits tell.
func (f *files) describe(paths []string, waiting map[uint64]bool) {
	notes := make(map[string]string, len(paths))
	for _, p := range paths {
		notes[p] = f.note(p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes, f.waiting = notes, waiting
}

// note tells in words where a path led, for status.
func (f *files) note(path string) string {
	var notes []string
	for _, known := range f.containers {
		r, ok := known.Paths[path]
		n := r.Why
		if ok && n == "" {
			n = path + " is " + r.Path
		}
		if ok && !slices.Contains(notes, n) {
			notes = append(notes, n)
		}
	}
	slices.Sort(notes)
	return strings.Join(notes, "; ")
}
