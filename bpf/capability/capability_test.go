// SPDX-License-Identifier: Apache-2.0

package capability

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/state"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// A use that is not allowed has happened when it is seen: its process runs no further,
// or is told of.
func TestUse(t *testing.T) {
	const chown = 0
	r := bpftest.NewRuled(t, "capability", process.Install, Attach)
	for i, tc := range []struct {
		name    string
		action  uint32
		permits []uint32 // capabilities
		ends    bpftest.Ending
	}{
		{"no rule", state.ActionIgnore, nil, bpftest.Ending{After: true, UID: 1}},
		{"Audit", state.ActionAudit, nil, bpftest.Ending{After: true, UID: 1}},
		{"Observe", state.ActionObserve, nil, bpftest.Ending{After: true, UID: 1}},
		{"Deny, which is not given here", state.ActionDeny, nil, bpftest.Ending{After: true, UID: 1}},
		{"Kill", state.ActionKill, nil, bpftest.Ending{Killed: true, UID: 1}},
		{"Kill, another allowed", state.ActionKill, []uint32{chown + 1}, bpftest.Ending{Killed: true, UID: 1}},
		{"Kill, allowed", state.ActionKill, []uint32{chown}, bpftest.Ending{After: true, UID: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head := bpftest.Head(tc.action)
			head.List = 100 + uint32(i)
			r.Use(state.RawRuleset{Capabilities: [2]state.RawRuntimeHead{head}})
			for _, c := range tc.permits {
				r.Permit(state.RawPermit{List: head.List, What: 1 + c})
			}
			outcome := tc.action
			if outcome == state.ActionDeny {
				outcome = state.ActionObserve
			}
			before := r.Acts(outcome)
			if got := r.Act("chown"); got != tc.ends {
				t.Errorf("ended %+v, want %+v", got, tc.ends)
			}
			told := r.Acts(outcome) > before
			if want := tc.action != state.ActionIgnore && (tc.ends.Killed || tc.action != state.ActionKill); told != want {
				t.Errorf("counted: %t, want %t", told, want)
			}
		})
	}
}

// A container whose entry finds no room for its record is under the rules all the same,
// and so are its children.
func TestEntryWithoutRecord(t *testing.T) {
	r := bpftest.NewRuled(t, "capability", process.Install, Attach)
	r.Use(state.RawRuleset{Capabilities: [2]state.RawRuntimeHead{bpftest.Head(state.ActionKill)}})
	defer r.FillProcs()()
	if got := r.Act("chown"); got != (bpftest.Ending{Killed: true, UID: 1}) {
		t.Errorf("ended %+v, want killed", got)
	}
}

// Of one capability what the kernel asks in passing, for memory accounting here, kills
// nobody, and what it asks for a use does.
func TestAskedInPassing(t *testing.T) {
	r := bpftest.NewRuled(t, "capability", process.Install, Attach)
	r.Use(state.RawRuleset{Capabilities: [2]state.RawRuntimeHead{bpftest.Head(state.ActionKill)}})
	if got := r.Act("nothing"); got != (bpftest.Ending{After: true}) {
		t.Errorf("a process that only runs ended %+v", got)
	}
	if r.Acts(state.ActionObserve) == 0 {
		t.Error("nothing was asked in passing: the test shows nothing")
	}
	if got := r.Act("unshare"); got != (bpftest.Ending{Killed: true}) {
		t.Errorf("one that unshares a namespace ended %+v, want killed", got)
	}
}

// Whoever writes to a file of an image has the kernel copy it up, with the owner that
// it has. For that the kernel takes credentials of its own: no use of the writer's.
func TestCopyUp(t *testing.T) {
	const owner = 7
	r := bpftest.NewRuled(t, "capability", process.Install, Attach)
	head := bpftest.Head(state.ActionKill)
	r.Use(state.RawRuleset{Capabilities: [2]state.RawRuntimeHead{head}})
	for _, c := range []uint32{unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER} {
		r.Permit(state.RawPermit{List: head.List, What: 1 + c})
	}
	image := bpftest.Overlay(t, func(lower string) error {
		if err := os.WriteFile(filepath.Join(lower, "file"), []byte("old"), 0o644); err != nil {
			return err
		}
		return os.Chown(filepath.Join(lower, "file"), owner, owner)
	})
	want := bpftest.Ending{After: true, UID: owner}
	if got := r.ActOn("write", filepath.Join(image, "file")); got != want {
		t.Errorf("writing ended %+v, want %+v", got, want)
	}
	if err := os.Remove(filepath.Join(image, "file.after")); err != nil {
		t.Fatal(err)
	}
	want = bpftest.Ending{Killed: true, UID: 1}
	if got := r.ActOn("chown", filepath.Join(image, "file")); got != want {
		t.Errorf("a chown there ended %+v, want %+v", got, want)
	}
}
