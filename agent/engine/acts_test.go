// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
)

// acts restricts the pod that bears the policy's name.
func acts(name string, action policy.Action, fallback policy.Fallback, allow ...policy.ExecRule) *policy.WorkloadPolicy {
	p := &policy.WorkloadPolicy{
		Namespace: "default", Name: name, Mode: policy.Enforce, DenyResponse: policy.Errno, Fallback: fallback,
		Exec: &policy.Exec{Action: action, Allow: allow},
	}
	p.Pods.Requirements = []policy.Requirement{{Key: "app", Operator: policy.In, Values: []string{name}}}
	return p
}

func clusterOf(pods []string, policies ...*policy.WorkloadPolicy) *policy.Cluster {
	c := cluster(pods)
	c.WorkloadPolicies = policies
	return c
}

// TestActStatus: what a rule comes to on a node that cannot deny, and why.
func TestActStatus(t *testing.T) {
	f := newFixture(t, state.Sizes{}, "a", "b", "c", "d", "e")
	if f.tier() == "full" {
		t.Skip("this node can deny")
	}
	audit := acts("e", policy.Prevent, policy.Close)
	audit.Mode = policy.Audit
	must(t, f.Follow(clusterOf([]string{"a", "b", "c", "d", "e"},
		acts("a", policy.Prevent, policy.Observe), acts("b", policy.Prevent, policy.FallbackKill),
		acts("c", policy.Prevent, policy.Close), acts("d", policy.Kill, policy.Close), audit)))
	want := map[string]string{
		"a": "enforced exec observed, because", "b": "enforced exec killed, because",
		"c": "degraded exec observed, because", "d": "enforced exec killed", "e": "audited exec audited",
	}
	got := map[string]string{}
	for _, p := range f.Status().Policies {
		for _, r := range p.Rules {
			got[p.Name] = fmt.Sprintf("%s %s %s", p.State, r.Section, r.Outcome)
			if r.Reason != "" {
				got[p.Name] += ", because"
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	f.want(map[string]string{"a": "enforced", "b": "enforced", "c": "closed", "d": "enforced", "e": "enforced"})
	must(t, f.Follow(clusterOf([]string{"a", "b", "c"}, acts("c", policy.Kill, policy.Close))))
	f.want(map[string]string{"a": "enforced", "b": "enforced", "c": "enforced", "d": "enforced", "e": "enforced"})
}

// container makes this process the container of a pod, on the node's own files.
func (f *fixture) container(name string) uint64 {
	f.t.Helper()
	var ns syscall.Stat_t
	must(f.t, syscall.Stat("/proc/self/ns/mnt", &ns))
	var root unix.Statx_t
	must(f.t, unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_MNT_ID_UNIQUE, &root))
	p := f.pods[rpc.AttachmentKey(name, "eth0")]
	const id = 1 << 40
	must(f.t, f.dp.State().Containers.Put(uint64(id), state.RawContainer{
		MntNs: uint32(ns.Ino), Root: root.Mnt_id, Slot: p.Slot, Pod: p.PodID, Pid: uint32(os.Getpid()),
	}))
	return id
}

// permitted says whether the pod's list allows a file, however it is known.
func (f *fixture) permitted(name, path string, container uint64) bool {
	f.t.Helper()
	var rs state.RawRuleset
	must(f.t, f.dp.State().Rulesets.Lookup(f.assignmentOf(name).Ruleset, &rs))
	var program, rule uint32
	if err := f.dp.State().Programs.Lookup(programKey(f.t, container, path), &program); err != nil {
		return false
	}
	err := f.dp.State().Permits.Lookup(state.RawPermit{List: rs.Exec[0].List, Program: program}, &rule)
	return err == nil && f.view.rule(rule).Name == name
}

// note is what status says of the only rule.
func (f *fixture) note() string {
	f.t.Helper()
	for _, p := range f.Brief().Policies {
		for _, r := range p.Rules {
			return r.Note
		}
	}
	return ""
}

// TestSums: a rule with a sum means the file that has it, once it has been taken.
func TestSums(t *testing.T) {
	f := newFixture(t, state.Sizes{}, "a")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	must(t, os.WriteFile(good, []byte("good"), 0o700))
	must(t, os.WriteFile(bad, []byte("bad"), 0o700))
	container := f.container("a")
	sum := sha256.Sum256([]byte("good"))
	rule := func(path string) policy.ExecRule {
		return policy.ExecRule{Process: policy.Process{Path: path}, SHA256: string(sum[:])}
	}
	must(t, f.Follow(clusterOf([]string{"a"}, acts("a", policy.Kill, policy.Observe, rule(good), rule(bad)))))
	if f.permitted("a", good, container) || !strings.Contains(f.note(), "being taken") {
		t.Errorf("before it is taken: %s", f.note())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); strings.Contains(f.note(), "being taken") && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	must(t, <-done)
	if !f.permitted("a", good, container) || f.permitted("a", bad, container) {
		t.Errorf("good %t, bad %t", f.permitted("a", good, container), f.permitted("a", bad, container))
	}
	if want := fmt.Sprintf("%s is %[1]s with the sum %x", good, sum); !strings.Contains(f.note(), want) {
		t.Errorf("note %q, want %q", f.note(), want)
	}

	again, err := New(f.cfg, f.dp, f.journal, f.log) // it does not look a second time
	must(t, err)
	again.pods = f.pods
	must(t, again.Follow(f.full))
	if !f.permitted("a", good, container) {
		t.Error("the sum is forgotten by a restart")
	}
}

// TestActEvents gives words to what the kernel tells.
func TestActEvents(t *testing.T) {
	f := newFixture(t, state.Sizes{}, "a")
	pod := f.pods[rpc.AttachmentKey("a", "eth0")].PodID
	f.Exec(exec(7, 0x10, 0x20, "/bin/sh"))
	ev := state.RawActEvent{Pid: 7, Uid: 9, ExecId: 0x20, ParentExecId: 0x10, Pod: pod, Outcome: state.ActionDeny}
	copy(ev.Path[:], "/bin/sh")
	copy(ev.Object[:], "/bin/nc")
	f.Act(ev)
	ev.ExecId, ev.ParentExecId, ev.Outcome, ev.Flags = 0x30, 0x20, state.ActionKill, state.ActInit
	copy(ev.Path[:], "/bin/nc")
	f.Act(ev)
	use := state.RawActEvent{
		Kind: state.ActCapability, Pid: 7, ExecId: 0x20, ParentExecId: 0x10, Pod: pod,
		Outcome: state.ActionObserve, What: 13, Flags: state.ActOtherNS,
	}
	f.Act(use)
	use.What, use.Outcome, use.Flags = 21, state.ActionAudit, state.ActAuditable
	f.Act(use)
	var got []string
	for _, e := range f.journal.Events.Entries()[1:] {
		got = append(got, fmt.Sprintf("%s %s %s/%s %s<%s: %s %t",
			e.Type, e.Outcome, e.Pod.Namespace, e.Pod.Name, e.Process.ExecID, e.Process.ParentExecID, e.Detail, e.ContainerEnded))
	}
	want := []string{
		"exec denied default/a 20-7<10-7: exec of /bin/nc false",
		"exec killed default/a 30-7<20-7: exec of /bin/nc true",
		"capability observed default/a 20-7<10-7: NET_RAW, asked without audit, in a user namespace of its own false",
		"capability audited default/a 20-7<10-7: SYS_ADMIN false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTouchedIsForgotten: what is noted of a container's programs goes with it, and not
// with its pod.
func TestTouchedIsForgotten(t *testing.T) {
	f := newFixture(t, state.Sizes{}, "a")
	s := f.dp.State()
	here := f.container("a")
	touch := func(container uint64) state.RawTouchedKey {
		k := state.RawTouchedKey{Container: container, Ino: 1}
		must(t, s.Touched.Put(k, state.RawTouchedAt{}))
		return k
	}
	kept := func(k state.RawTouchedKey) bool {
		var at state.RawTouchedAt
		return s.Touched.Lookup(k, &at) == nil
	}
	between, begun := touch(here+1), touch(here)
	must(t, f.realise())
	if kept(between) || !kept(begun) {
		t.Errorf("of a container that came and went kept: %v; of one that is there: %v", kept(between), kept(begun))
	}
	must(t, s.Containers.Delete(here))
	must(t, f.realise())
	if kept(begun) {
		t.Error("of a container that is gone something is kept")
	}
}
