// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// Ids of what rules name, beside covered.
const (
	exact = 31 + iota // a file
	flat              // the files right in a folder
	wide              // those below a folder around it
)

// reads says whether a process of the pod reads a file.
func reads(t *testing.T, r *bpftest.Ruled, file string) bool {
	t.Helper()
	return readsIn(t, r, 0, file)
}

// readsIn is reads by a process in new namespaces.
func readsIn(t *testing.T, r *bpftest.Ruled, flags uintptr, file string) bool {
	t.Helper()
	cmd := r.Command(os.Args[0], file)
	cmd.SysProcAttr.Unshareflags = flags
	cmd.Env = append(os.Environ(), trickEnv+"=cat")
	o, out := ending(t, cmd)
	return !o.refused && bytes.Contains(out, []byte(content))
}

func wantRead(t *testing.T, what string, got, want bool) {
	t.Helper()
	if got != want {
		t.Errorf("%s: read: %t, want %t", what, got, want)
	}
}

// TestReading has files read by a pod that may not read what rules cover, in a container
// for each way that they may name it.
func TestReading(t *testing.T) {
	r := guarded(t)
	for _, way := range []struct {
		name string
		test func(*testing.T, *bpftest.Ruled, place)
	}{
		{"folders", folders},
		{"a file that was found", foundFile},
		{"a folder behind a link", folderBehindLink},
		{"a container that is not resolved", unresolved},
		{"the audited list", auditedList},
		{"a process without a record", orphan},
		{"a folder with another name", movedFolder},
		{"twice", twice},
	} {
		t.Run(way.name, func(t *testing.T) {
			for _, id := range []uint32{covered, exact, flat, wide} {
				r.Guard(id, state.OpRead, state.ActionDeny)
			}
			r.Use(state.RawRuleset{Files: [2]uint32{bpftest.List}})
			of := inContainer(t, r)
			p := place(of.Dir)
			must(t, p.fill())
			must(t, os.WriteFile(p.free("file"), []byte(content), 0o644))
			way.test(t, of, p)
		})
	}
}

// A rule names a file, the files of a folder, or all below it.
func folders(t *testing.T, r *bpftest.Ruled, p place) {
	must(t, os.WriteFile(p.secret("folder/file"), []byte(content), 0o644))
	wantRead(t, "without a name", reads(t, r, p.secret("file")), true)
	r.Path(exact, p.secret("file"))
	wantRead(t, "its name", reads(t, r, p.secret("file")), false)
	wantRead(t, "another's name", reads(t, r, p.free("file")), true)
	r.Path(0, p.secret("file"))
	r.Folder(p.secret("")+"/", flat, 0)
	wantRead(t, "its folder", reads(t, r, p.secret("file")), false)
	wantRead(t, "a folder below", reads(t, r, p.secret("folder/file")), true)
	r.Folder(p.secret("")+"/", 0, wide)
	wantRead(t, "a folder around", reads(t, r, p.secret("folder/file")), false)
	r.Folder(p.secret("folder")+"/", flat, 0)
	r.Unguard(flat, state.OpRead)
	r.Guard(wide, state.OpRead, state.ActionDeny)
	wantRead(t, "of two folders, the deeper has no rule", reads(t, r, p.secret("folder/file")), true)
}

// A file that the agent has found by a path that leads there is covered by whatever
// name.
func foundFile(t *testing.T, r *bpftest.Ruled, p place) {
	must(t, os.Link(p.secret("file"), p.free("link")))
	wantRead(t, "a file nobody has found", reads(t, r, p.free("link")), true)
	r.Found(p.secret("file"), exact)
	wantRead(t, "a file that was found", reads(t, r, p.free("link")), false)
}

// A folder that a link leads to is known by its place, if the agent says so.
func folderBehindLink(t *testing.T, r *bpftest.Ruled, p place) {
	const elsewhere = 2 // RESOLVED_ELSEWHERE of bpf/include/act_types.h
	r.Place(p.secret(""), 0, covered)
	wantRead(t, "by its path alone", reads(t, r, p.secret("file")), true)
	r.Resolve(resolved | elsewhere)
	wantRead(t, "by its place", reads(t, r, p.secret("file")), false)
	wantRead(t, "beside it", reads(t, r, p.free("file")), true)
}

// On a mount that the pod made the strictest of the rules holds until the agent has
// looked at the container.
func unresolved(t *testing.T, r *bpftest.Ruled, p place) {
	must(t, r.State.Resolved.Delete(r.Pod.Cgroups[0]))
	r.Folder(p.secret("")+"/", 0, covered)
	wantRead(t, "another file", reads(t, r, p.free("file")), true)
	wantRead(t, "on mounts of its own", readsIn(t, r, unix.CLONE_NEWNS, p.free("file")), false)
	r.Resolve(resolved)
	wantRead(t, "there, when resolved", readsIn(t, r, unix.CLONE_NEWNS, p.free("file")), true)
	wantRead(t, "a covered file there", readsIn(t, r, unix.CLONE_NEWNS, p.secret("file")), false)
}

// An Audit policy's list is the second: it lets pass what the first does.
func auditedList(t *testing.T, r *bpftest.Ruled, p place) {
	r.Folder(p.secret("")+"/", 0, covered)
	r.Use(state.RawRuleset{Files: [2]uint32{1: bpftest.List}})
	before, _ := tallied(t, r, state.ActionAudit)
	wantRead(t, "audited", reads(t, r, p.secret("file")), true)
	if n, _ := tallied(t, r, state.ActionAudit); n != before+1 {
		t.Errorf("%d audits counted, want 1", n-before)
	}
}

// A file of an image is opened twice, by the pod and by overlayfs, and counted once.
// Of what a process does again and again under Audit, the first is told.
func twice(t *testing.T, r *bpftest.Ruled, p place) {
	r.Guard(covered, state.OpRead, state.ActionAudit)
	acts, held := tallied(t, r, state.ActionAudit)
	image := place(bpftest.Overlay(t, func(lower string) error { return place(lower).fill() }))
	r.Folder(image.secret("")+"/", 0, covered)
	r.Place(image.secret(""), 0, covered)
	wantRead(t, "a file of an image", reads(t, r, image.secret("file")), true)
	if n, _ := tallied(t, r, state.ActionAudit); n != acts+1 {
		t.Errorf("%d opens counted, want 1", n-acts)
	}
	again := r.Command(r.Shell, "-c", "for i in 1 2 3; do read x < "+image.secret("file")+"; done; :")
	must(t, again.Run())
	if a, h := tallied(t, r, state.ActionAudit); a != acts+4 || h != held+2 {
		t.Errorf("%d opens counted, %d of them not told, want 4 and 2", a-acts, h-held)
	}
}

func tallied(t *testing.T, r *bpftest.Ruled, outcome uint32) (acts, held uint64) {
	t.Helper()
	var each []state.RawTally
	key := state.RawTallyKey{Pod: r.Pod.ID, Rule: bpftest.Rule, Kind: uint16(state.ActFile), Outcome: uint16(outcome)}
	if err := r.State.Tallies.Lookup(key, &each); !errors.Is(err, ebpf.ErrKeyNotExist) {
		must(t, err)
	}
	for _, n := range each {
		acts, held = acts+n.Acts, held+n.Held
	}
	return acts, held
}

// A process that has no record is nobody to the rules.
func orphan(t *testing.T, r *bpftest.Ruled, p place) {
	r.Folder(p.secret("")+"/", 0, covered)
	r.Found(r.Shell, bpftest.Shell)
	script := "(read x < " + p.secret("file") + "; echo $x) & wait $!; :"
	out, err := r.Command(r.Shell, "-c", script).Output()
	if must(t, err); string(out) != content+"\n" {
		t.Errorf("the shell, which may, reads %q", out)
	}
	defer r.FillProcs()()
	out, err = r.Command(r.Shell, "-c", script).Output()
	if must(t, err); len(bytes.TrimSpace(out)) != 0 {
		t.Errorf("a shell without a record reads %q", out)
	}
}

// Names are judged both as they were and as they will be.
func movedFolder(t *testing.T, r *bpftest.Ruled, p place) {
	r.Folder(p.secret("")+"/", 0, covered)
	r.Place(p.secret(""), 0, covered)
	around := filepath.Join(r.Dir, "around")
	must(t, r.Command(busybox, "mkdir", around).Run())
	must(t, r.Command(busybox, "mv", p.secret(""), around+"/secret").Run())
	wantRead(t, "in a folder that was moved", reads(t, r, around+"/secret/file"), false)
	must(t, r.Command(busybox, "mkdir", p.secret("")).Run())
	must(t, r.Command(busybox, "cp", p.free("file"), p.secret("file")).Run())
	wantRead(t, "in a new folder of its name", reads(t, r, p.secret("file")), false)
	if err := r.Command(busybox, "mv", p.secret("file"), p.free("new")).Run(); err == nil {
		t.Error("a file has another name though it may not be read")
	}
	if err := unix.Access(p.free("new"), unix.F_OK); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("the other name: %v", err)
	}
}
