// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// files remembers which file each process path is in each container. A path is
// looked up once, when the container begins or a rule first names it: a file that
// the pod puts there later is not the file that was meant. What was found is
// stored, since an agent that starts again must not look a second time.
type files struct {
	cgroupRoot string
	store      string // file that keeps containers
	containers map[uint64]*contents
	programs   []compile.Program // files and the paths that lead to them, as last resolved
	members    []member
	places     [][]string // folders and the paths that lead to them, likewise
	inside     []member
	sums       *sums
	anew       bool // what rules on files name is to be looked up once more

	mu      sync.Mutex
	notes   map[string]string // by path of a program, for readers
	uses    map[string]string // by path or folder in rules on files
	waiting map[uint64]bool   // containers that are not complete
}

// contents is what is known of one container.
type contents struct {
	Begun string // which life of the cgroup id this is
	Own   bool   // it has files of its own
	Paths map[string]datapath.Resolution
	// Sums are the SHA-256 of the files of paths of which a rule asked it. They are
	// kept: a rule set that retires still goes by them.
	Sums map[string][]byte
	// Uses and Places are what paths and folders lead to that rules on files name, when
	// they were looked up last.
	Uses, Places map[string]datapath.Resolution
	wanted       *wanted // of them, by the rules now
}

// member is a file and its index in programs, or a folder and its in places.
type member struct {
	file datapath.File
	of   int
}

func newFiles(cgroupRoot, stateDir string, sums *sums) *files {
	return &files{
		cgroupRoot: cgroupRoot, store: filepath.Join(stateDir, filesFile), containers: make(map[uint64]*contents), sums: sums,
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
// on the node's own files: what is missing in an image stays missing. What rules on files
// name is looked up again everywhere.
func (f *files) retry() {
	f.anew = true
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

// resolve looks every path up in every container that is of a pod here, and gives
// the files and folders that they lead to. A container without a process cannot be looked
// into: until one starts, the kernel goes by the path.
func (f *files) resolve(dp *datapath.Datapath, want *named, of func(datapath.Container) (policy.PodKey, bool)) ([]compile.Program, [][]string, error) {
	f.sums.forget()
	list, err := dp.Containers()
	if err != nil {
		return nil, nil, err
	}
	now := make(map[uint64]*contents, len(list))
	waiting := make(map[uint64]bool)
	for _, c := range list {
		pod, ok := of(c)
		if !ok {
			continue
		}
		now[c.ID] = f.lookup(dp, c, want, want.on(pod))
		waiting[c.ID] = !now[c.ID].has(want)
	}
	// One that came and went between two looks has left something too.
	if !maps.EqualFunc(f.containers, now, func(a, b *contents) bool { return a.Begun == b.Begun }) {
		if err := dp.ForgetTouched(); err != nil {
			return nil, nil, err
		}
	}
	f.containers, f.anew = now, false
	f.group(want)
	f.groupPlaces()
	f.describe(want, waiting)
	return f.programs, f.places, f.save()
}

// lookup resolves the paths in one container; what cannot be reached is left out.
func (f *files) lookup(dp *datapath.Datapath, c datapath.Container, want *named, on *wanted) *contents {
	known := f.containers[c.ID]
	if known == nil || known.Begun != c.Begun() {
		known = &contents{Begun: c.Begun(), Own: c.OwnFiles(), Paths: make(map[string]datapath.Resolution)}
	}
	if known.Uses == nil {
		known.Uses, known.Places = make(map[string]datapath.Resolution), make(map[string]datapath.Resolution)
	}
	missing := slices.DeleteFunc(slices.Clone(want.paths), func(p string) bool {
		_, ok := known.Paths[p]
		return ok && (!want.sums[p] || known.Sums[p] != nil)
	})
	known.wanted = on
	uses, places := lacking(known.Uses, on.uses, f.anew), lacking(known.Places, on.places, f.anew)
	if len(missing) == 0 && len(uses) == 0 && len(places) == 0 {
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
		at, ok := known.Paths[p]
		if !ok {
			at = r.Resolve(p)
			known.Paths[p] = at
		}
		if want.sums[p] && at.File != (datapath.File{}) {
			known.sum(p, f.sums, sumJob{c, cgroup, p, at})
		}
	}
	for _, p := range uses {
		known.Uses[p] = r.Use(p)
	}
	for _, p := range places {
		known.Places[p] = r.Place(p)
	}
	return known
}

// sum notes the sum of a path's file if it is known.
func (c *contents) sum(path string, sums *sums, j sumJob) {
	have, ok := sums.of(j)
	if !ok || have.sum == "" {
		return
	}
	if c.Sums == nil {
		c.Sums = make(map[string][]byte)
	}
	c.Sums[path] = []byte(have.sum)
}

// waits says whether a container has paths that could not be looked up yet.
func (f *files) waits(container uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting[container]
}

// group finds the paths that are one file in some container.
func (f *files) group(want *named) {
	index := make(map[string]int)
	f.programs, f.members = nil, nil
	for _, known := range f.containers {
		for file, program := range known.programs(want) {
			slices.Sort(program.Paths)
			slices.Sort(program.Files)
			program.Files = slices.Compact(program.Files)
			id := strings.Join(slices.Concat(program.Paths, []string{"", program.SHA256}, program.Files), "\x00")
			i, ok := index[id]
			if !ok {
				i = len(f.programs)
				index[id] = i
				f.programs = append(f.programs, *program)
			}
			f.members = append(f.members, member{file, i})
		}
	}
}

// programs are a container's files, each with the paths that lead to it.
func (c *contents) programs(want *named) map[datapath.File]*compile.Program {
	out := make(map[datapath.File]*compile.Program)
	of := func(r datapath.Resolution) *compile.Program {
		if out[r.File] == nil {
			out[r.File] = new(compile.Program)
		}
		return out[r.File]
	}
	for _, p := range want.paths {
		if r := c.Paths[p]; r.File != (datapath.File{}) {
			of(r).Paths = append(of(r).Paths, p)
			if sum := c.Sums[p]; sum != nil {
				of(r).SHA256 = string(sum)
			}
		}
	}
	for _, p := range c.wanted.uses {
		if r := c.Uses[p]; r.File != (datapath.File{}) {
			of(r).Files = append(of(r).Files, p, r.Path)
		}
	}
	return out
}

// identify gives each file its program id and each folder its patterns, as an image has
// them, and says which containers are complete.
func (f *files) identify(img *compile.Image, want *datapath.Desired) {
	want.Files = make(map[datapath.File]uint32, len(f.members))
	want.Places = make(map[datapath.File]compile.Folder, len(f.inside))
	want.Containers = make(map[uint64]bool, len(f.containers))
	for _, m := range f.members {
		if id := img.Programs[m.of]; id != 0 {
			want.Files[m.file] = id
		}
	}
	for _, m := range f.inside {
		if folder := img.Places[m.of]; folder != (compile.Folder{}) {
			want.Places[m.file] = folder
		}
	}
	for id, c := range f.containers {
		if !f.waits(id) {
			want.Containers[id] = c.elsewhere()
		}
	}
}

// status tells in words where a path led.
func (f *files) status(path string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.notes[path]
}

// describe renews what status and waits tell.
func (f *files) describe(want *named, waiting map[uint64]bool) {
	notes := make(map[string]string, len(want.paths))
	for _, p := range want.paths {
		notes[p] = f.note(p, want.sums[p])
	}
	uses := f.useNotes()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes, f.uses, f.waiting = notes, uses, waiting
}

// note tells in words where a path led, for status, and what its file's sum is.
func (f *files) note(path string, sum bool) string {
	var notes []string
	for _, known := range f.containers {
		r, ok := known.Paths[path]
		n := r.Why
		if ok && n == "" {
			n = path + " is " + r.Path
			if sum {
				n += f.sumNote(known, path, r)
			}
		}
		if ok && !slices.Contains(notes, n) {
			notes = append(notes, n)
		}
	}
	slices.Sort(notes)
	return strings.Join(notes, "; ")
}

func (f *files) sumNote(known *contents, path string, r datapath.Resolution) string {
	if sum := known.Sums[path]; sum != nil {
		return fmt.Sprintf(" with the sum %x", sum)
	}
	if why := f.sums.why(r); why != "" {
		return ", of which there is no sum: " + why
	}
	return ", its sum is being taken"
}
