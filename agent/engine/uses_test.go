// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/agent/api"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
)

// uses restricts the use of files of the pod that bears the policy's name.
func uses(name string, fallback policy.Fallback, rules ...policy.FileRule) *policy.WorkloadPolicy {
	p := acts(name, "", fallback)
	p.Exec, p.Files = nil, rules
	return p
}

func fileRule(action policy.Action, o policy.Operations, paths ...string) policy.FileRule {
	return policy.FileRule{Paths: paths, Operations: o, Action: action, Allow: []policy.Process{{Path: "/bin/cat"}}}
}

// TestUseStatus: what a rule on files comes to on a node that sees files opened, and
// which uses it does not see.
func TestUseStatus(t *testing.T) {
	f := newFixture(t, state.Sizes{}, "a", "b", "c", "d")
	if f.tier() == "full" {
		t.Skip("this node can deny")
	}
	if err := f.dp.NoFiles(); err != nil {
		t.Skipf("this node does not see the use of files: %v", err)
	}
	const both = policy.OpRead | policy.OpDelete
	audit := uses("d", policy.Close, fileRule(policy.Prevent, policy.OpDelete, "/a"))
	audit.Mode = policy.Audit
	must(t, f.Follow(clusterOf([]string{"a", "b", "c", "d"},
		uses("a", policy.Observe, fileRule(policy.Prevent, policy.OpRead, "/a"), fileRule(policy.Kill, both, "/b"), fileRule(policy.Kill, policy.OpDelete, "/c"), fileRule(policy.Report, policy.OpWrite, "/d")),
		uses("b", policy.FallbackKill, fileRule(policy.Prevent, both, "/a")),
		uses("c", policy.Close, fileRule(policy.Prevent, policy.OpRead, "/a")), audit)))
	want := []string{
		"a[0] observed: this node cannot give Deny", "a[1] killed: this node does not see Delete",
		"a[2] observed: this node does not see Delete", "a[3] audited: ",
		"b[0] killed: this node cannot give Deny; nor does it see Delete",
		"c[0] observed: this node cannot give Deny", "d[0] audited: this node does not see Delete",
	}
	var got []string
	for _, p := range f.Status().Policies {
		for _, r := range p.Rules {
			begin, _, _ := strings.Cut(r.Reason, ":")
			if _, end, ok := strings.Cut(r.Reason, ";"); ok {
				begin += ";" + end
			}
			got = append(got, fmt.Sprintf("%s[%d] %s: %s", p.Name, r.Index, r.Outcome, begin))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	f.want(map[string]string{"a": "enforced", "b": "enforced", "c": "closed", "d": "enforced"})
}

// What rules on files name is found where it lies, and shown there.
func TestUsesAreFound(t *testing.T) {
	f := newFixture(t, state.Sizes{}, "a")
	container := f.container("a")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Symlink(dir, link))
	must(t, f.Follow(clusterOf([]string{"a"}, uses("a", policy.Observe, fileRule(policy.Kill, policy.OpRead, link+"/file", link+"/*")))))
	var id, known uint32
	var folder state.RawFolder
	must(t, f.dp.State().Programs.Lookup(programKey(t, container, file), &id))
	must(t, f.dp.State().Places.Lookup(programKey(t, container, dir), &folder))
	must(t, f.dp.State().Resolved.Lookup(container, &known))
	if id == 0 || folder.Files == 0 || known != 3 {
		t.Errorf("file %d, folder %+v, container %d", id, folder, known)
	}
	if want := link + "/ is " + dir + "/; " + link + "/file is " + file; !strings.HasSuffix(f.note(), want) {
		t.Errorf("note %q, want %q", f.note(), want)
	}
}

// programKey is a file as a container has it.
func programKey(t *testing.T, container uint64, path string) state.RawProgram {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Stat(path, &st))
	return state.RawProgram{Container: container, Ino: st.Ino, Dev: uint32(st.Dev>>8&0xfff<<20 | st.Dev&0xff)}
}

// Files of a policy whose rules do not fit are left to nobody, or its pods are closed.
func TestUsesThatDoNotFit(t *testing.T) {
	f := newFixture(t, state.Sizes{Permits: 20, FileRules: 20}, "a", "b")
	rule := fileRule(policy.Kill, policy.OpRead, "/etc/shadow")
	for i := range 500 {
		rule.Allow = append(rule.Allow, policy.Process{Path: fmt.Sprint("/bin/", i)})
	}
	many := fileRule(policy.Kill, policy.OpRead)
	for i := range 500 {
		many.Paths = append(many.Paths, fmt.Sprint("/etc/", i))
	}
	if err := f.Follow(clusterOf([]string{"a", "b"}, uses("a", policy.Observe, rule))); !errors.Is(err, api.ErrNoFit) {
		t.Fatalf("error = %v, want ErrNoFit", err)
	}
	f.want(map[string]string{"a": "enforced", "b": "enforced"})
	f.wantDegraded("a", "all use of the files that it names of the pods it selects is denied")
	if head := f.head("a", "/etc/shadow"); head.List != 0 || uint32(head.Action) == state.ActionIgnore {
		t.Errorf("head %+v", head)
	}
	if err := f.Follow(clusterOf([]string{"a", "b"}, uses("b", policy.Observe, many))); !errors.Is(err, api.ErrNoFit) {
		t.Fatalf("error = %v, want ErrNoFit", err)
	}
	f.want(map[string]string{"a": "enforced", "b": "closed"})
	f.wantDegraded("b", "the pods it selects are closed")
	must(t, f.Follow(clusterOf([]string{"a", "b"}, uses("b", policy.Observe, fileRule(policy.Kill, policy.OpRead, "/etc/shadow")))))
	f.want(map[string]string{"a": "enforced", "b": "enforced"})
	if head := f.head("b", "/etc/shadow"); head.List == 0 {
		t.Errorf("head %+v", head)
	}
}

// head is what the pod's rules say of reading a file that is known by its path.
func (f *fixture) head(pod, path string) (head state.RawRuntimeHead) {
	f.t.Helper()
	var rs state.RawRuleset
	must(f.t, f.dp.State().Rulesets.Lookup(f.assignmentOf(pod).Ruleset, &rs))
	var key state.RawPathKey
	copy(key.Path[:], path)
	var id uint32
	must(f.t, f.dp.State().Paths.Lookup(key, &id))
	must(f.t, f.dp.State().FileRules.Lookup(state.RawFileKey{List: rs.Files[0], File: id, Operation: state.OpRead}, &head))
	return head
}

// TestUseEvents gives words to what the kernel tells of files.
func TestUseEvents(t *testing.T) {
	f := newFixture(t, state.Sizes{}, "a")
	ev := state.RawActEvent{
		Kind: state.ActFile, Pid: 7, ExecId: 0x20, ParentExecId: 0x10, What: state.OpMountOver, Outcome: state.ActionDeny,
		Pod: f.pods[rpc.AttachmentKey("a", "eth0")].PodID,
	}
	f.Act(ev)
	copy(ev.Object[:], "/etc/shadow")
	ev.What, ev.Outcome = state.OpRead, state.ActionKill
	f.Act(ev)
	var got []string
	for _, e := range f.journal.Events.Entries() {
		got = append(got, fmt.Sprintf("%s %s %s: %s", e.Type, e.Outcome, e.Process.ExecID, e.Detail))
	}
	want := []string{"file denied 20-7: MountOver of a file without a path", "file killed 20-7: Read of /etc/shadow"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
