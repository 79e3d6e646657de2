// SPDX-License-Identifier: Apache-2.0

package lsm

import (
	"os"
	"slices"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/state"
)

func attachAll(s *state.State) error { return Attach(s, slices.Concat(Execs, Uses)...) }

func denying(t *testing.T, features ...func(*state.State) error) *bpftest.Ruled {
	t.Helper()
	r := bpftest.NewRuled(t, "lsm", append([]func(*state.State) error{Try, process.Install, attachAll}, features...)...)
	r.Use(state.RawRuleset{Exec: [2]state.RawRuntimeHead{bpftest.Head(state.ActionDeny)}})
	return r
}

// A denied exec has not happened, and who asked for it lives on.
func TestExecIsDenied(t *testing.T) {
	r := denying(t)
	other := r.Copy("other")
	r.Want("the shell", r.Runs("/bin/sh"), true)
	r.Want("another program", r.Runs(other), false)
	if denied, killed := r.Acts(state.ActionDeny), r.Acts(state.ActionKill); denied != 1 || killed != 0 {
		t.Errorf("%d denials and %d kills counted, want 1 and none", denied, killed)
	}
	r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(8, other)})
	r.Want("the other program, allowed now", r.Runs(other), true)
	r.Use(state.RawRuleset{Exec: [2]state.RawRuntimeHead{1: bpftest.Head(state.ActionDeny)}})
	third := r.Copy("third")
	r.Want("a third, that an Audit policy would deny", r.Runs(third), true)
	if n := r.Acts(state.ActionAudit); n != 1 {
		t.Errorf("%d audits counted, want 1", n)
	}
}

// A script is known by its own path, with and without the program that tells scripts
// on nodes without LSM.
func TestScript(t *testing.T) {
	for name, features := range map[string][]func(*state.State) error{"LSM alone": nil, "both": {process.InstallScript}} {
		t.Run(name, func(t *testing.T) {
			r := denying(t, features...)
			script := r.Dir + "/script"
			if err := os.WriteFile(script, []byte("#!/bin/sh\n: > "+r.Effect()+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			r.Settle(script)
			r.Want("a script whose interpreter is allowed", r.Runs(script), false)
			r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(8, script)})
			r.Want("the script, allowed", r.Runs(script), true)
			if n := r.Acts(state.ActionKill); n != 0 {
				t.Errorf("%d kills counted, want none", n)
			}
		})
	}
}

// A script that another script runs stands for neither: what lies between is not judged.
func TestScriptOfScript(t *testing.T) {
	r := denying(t)
	inner, outer := r.Dir+"/inner", r.Dir+"/outer"
	for at, body := range map[string]string{inner: "#!/bin/sh\n: > " + r.Effect() + "\n", outer: "#!" + inner + "\n"} {
		if err := os.WriteFile(at, []byte(body), 0o755); err != nil {
			t.Fatal(err)
		}
		r.Settle(at)
	}
	r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(8, outer)})
	r.Want("an allowed script by a script that is not", r.Runs(outer), false)
}

// The entry of a container is judged too: the runtime is told EPERM.
func TestEntryIsDenied(t *testing.T) {
	r := denying(t)
	if err := r.Command(r.Copy("other"), "-c", ": > "+r.Effect()).Run(); !os.IsPermission(err) {
		t.Errorf("the entry: %v, want EPERM", err)
	}
	if _, err := os.Stat(r.Effect()); err == nil {
		t.Error("the entry ran")
	}
	if err := r.Command("/bin/sh", "-c", ": > "+r.Effect()).Run(); err != nil {
		t.Errorf("an entry that is allowed: %v", err)
	}
}

// A process for which there was no room is not denied everything for good.
func TestExecOfOrphan(t *testing.T) {
	r := denying(t)
	other := r.Copy("other")
	r.Permit(state.RawPermit{List: bpftest.List, Program: r.Path(8, other)})
	r.Want("an orphan's program, with room again", r.RunsOrphan(other), true)
}

// A capability is refused, its process lives; or it is killed before it had it.
func TestUse(t *testing.T) {
	const chown = 0
	r := denying(t)
	for i, tc := range []struct {
		name    string
		action  uint32
		permits []uint32
		ends    bpftest.Ending
	}{
		{"no rule", state.ActionIgnore, nil, bpftest.Ending{After: true, UID: 1}},
		{"Audit", state.ActionAudit, nil, bpftest.Ending{After: true, UID: 1}},
		{"Deny", state.ActionDeny, nil, bpftest.Ending{Refused: true, After: true}},
		{"Deny, another allowed", state.ActionDeny, []uint32{chown + 1}, bpftest.Ending{Refused: true, After: true}},
		{"Deny, allowed", state.ActionDeny, []uint32{chown}, bpftest.Ending{After: true, UID: 1}},
		{"Kill", state.ActionKill, nil, bpftest.Ending{Killed: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head := bpftest.Head(tc.action)
			head.List = 100 + uint32(i)
			r.Use(state.RawRuleset{Capabilities: [2]state.RawRuntimeHead{head}})
			for _, c := range tc.permits {
				r.Permit(state.RawPermit{List: head.List, What: 1 + c})
			}
			if got := r.Act("chown"); got != tc.ends {
				t.Errorf("ended %+v, want %+v", got, tc.ends)
			}
		})
	}
}
