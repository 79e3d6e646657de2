// SPDX-License-Identifier: Apache-2.0

package bpftest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/state"
)

// Ids of Ruled's tables; others are free.
const (
	RuleSet uint32 = 60
	List    uint32 = 70
	Rule    uint32 = 9 // that heads name
	Shell   uint32 = 5 // the program /bin/sh
)

// Ruled is an instance with a pod that has a cgroup of the test's own, and with rules
// on acts.
type Ruled struct {
	*testing.T
	State       *state.State
	Pod         state.Pod
	Cgroup, Dir string
	Shell       string // the file behind /bin/sh
}

// NewRuled makes an instance with what install says; what that attaches goes with the
// test. On a kernel that refuses it the test is skipped, or fails where REQUIRE names
// the feature. List allows execs of the shell.
func NewRuled(t *testing.T, feature string, install ...func(*state.State) error) *Ruled {
	t.Helper()
	s, err := state.Create(Dir(t), state.Sizes{})
	r := &Ruled{T: t, State: s, Dir: t.TempDir()}
	r.must(err)
	t.Cleanup(func() { s.Close() })
	t.Cleanup(func() {
		links, err := filepath.Glob(s.Dir.Link("*"))
		r.must(err)
		for _, l := range links {
			r.must(state.Unlink(l))
		}
	})
	for _, f := range install {
		if err := f(s); err != nil {
			r.skip(feature, err)
		}
	}
	r.Cgroup = Cgroup(t)
	var st syscall.Stat_t
	r.must(syscall.Stat(r.Cgroup, &st))
	r.Pod = state.Pod{IfIndex: 7, Cookie: 7, Cgroups: []uint64{st.Ino}}
	r.must(s.Register(&r.Pod))
	r.Shell, err = filepath.EvalSymlinks("/bin/sh")
	r.must(err)
	r.Permit(state.RawPermit{List: List, Program: r.Path(Shell, r.Shell)})
	return r
}

// Container is the same pod with a container of t's own, if the pod has none yet.
func (r *Ruled) Container(t *testing.T) *Ruled {
	t.Helper()
	of := *r
	of.T, of.Dir = t, t.TempDir()
	var err error
	of.Cgroup, err = os.MkdirTemp(r.Cgroup, "container-")
	of.must(err)
	t.Cleanup(func() { of.must(os.Remove(of.Cgroup)) })
	return &of
}

func (r *Ruled) skip(feature string, err error) {
	r.Helper()
	if strings.Contains(os.Getenv("REQUIRE"), feature) {
		r.Fatal(err)
	}
	r.Skip(err)
}

func (r *Ruled) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// Head restricts acts to List.
func Head(action uint32) state.RawRuntimeHead {
	return state.RawRuntimeHead{List: List, Rule: Rule, Action: uint8(action)}
}

// Use puts the pod under a rule set.
func (r *Ruled) Use(rs state.RawRuleset) {
	r.Helper()
	r.must(r.State.Rulesets.Put(RuleSet, rs))
	r.must(r.State.Rules.Put(r.Pod.Slot, state.RawAssignment{Pod: r.Pod.ID, Ruleset: RuleSet}))
}

// Path gives a path a program id.
func (r *Ruled) Path(id uint32, path string) uint32 {
	r.Helper()
	var k state.RawPathKey
	copy(k.Path[:], path)
	r.must(r.State.Paths.Put(k, id))
	return id
}

// Folder has a folder, with its slash, that patterns name.
func (r *Ruled) Folder(path string, files, below uint32) {
	r.Helper()
	k := state.RawFolderKey{Len: uint32(8 * len(path))}
	copy(k.Path[:], path)
	r.must(r.State.Folders.Put(k, state.RawFolder{Len: k.Len, Files: files, Below: below}))
}

// Permit allows an act.
func (r *Ruled) Permit(p state.RawPermit) {
	r.Helper()
	r.must(r.State.Permits.Put(p, uint32(1)))
}

// Copy makes another shell: a program of its own.
func (r *Ruled) Copy(at string) string {
	r.Helper()
	b, err := os.ReadFile(r.Shell)
	r.must(err)
	at = filepath.Join(r.Dir, at)
	r.must(os.MkdirAll(filepath.Dir(at), 0o755))
	r.must(os.WriteFile(at, b, 0o755))
	r.Settle(at)
	return at
}

// Settle waits until a file is so old that a container which begins now has it for its
// image's: CTIME_LAG in bpf/include/binary.h.
func (r *Ruled) Settle(file string) {
	r.Helper()
	var st unix.Stat_t
	r.must(unix.Stat(file, &st))
	time.Sleep(time.Until(time.Unix(st.Ctim.Unix()).Add(20 * time.Millisecond)))
}

// Effect is the file that a program run by Runs makes first.
func (r *Ruled) Effect() string { return filepath.Join(r.Dir, "effect") }

// Runs says whether a shell gets as far as its first side effect when it is run by the
// pod's own, which must live on.
func (r *Ruled) Runs(argv ...string) bool {
	r.Helper()
	lives := filepath.Join(r.Dir, "lives")
	for _, f := range []string{r.Effect(), lives} {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.Fatal(err)
		}
	}
	err := r.Command("/bin/sh", "-c", "'"+strings.Join(argv, "' '")+"' -c ': > "+r.Effect()+"'; : > "+lives).Run()
	if e := new(exec.ExitError); err != nil && !errors.As(err, &e) {
		r.Fatal(err)
	}
	if _, err := os.Stat(lives); err != nil {
		r.Errorf("the shell that ran %s: %v", argv[0], err)
	}
	_, err = os.Stat(r.Effect())
	return err == nil
}

// Want fails the test if a program ran and should not have, or the other way round.
func (r *Ruled) Want(what string, ran, want bool) {
	r.Helper()
	if ran != want {
		r.Errorf("%s ran: %t, want %t", what, ran, want)
	}
}

// Command is a program that runs in the pod's cgroup from its first instruction on.
func (r *Ruled) Command(name string, args ...string) *exec.Cmd {
	r.Helper()
	dir, err := os.Open(r.Cgroup)
	r.must(err)
	r.Cleanup(func() { dir.Close() })
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	return cmd
}

// Acts is how often Rule came to an outcome.
func (r *Ruled) Acts(outcome uint32) (n uint64) {
	r.Helper()
	for _, kind := range []uint32{state.ActExec, state.ActCapability, state.ActFile} {
		var each []state.RawTally
		key := state.RawTallyKey{Pod: r.Pod.ID, Rule: Rule, Kind: uint16(kind), Outcome: uint16(outcome)}
		if err := r.State.Tallies.Lookup(key, &each); err != nil {
			continue
		}
		for _, t := range each {
			n += t.Acts
		}
	}
	return n
}
