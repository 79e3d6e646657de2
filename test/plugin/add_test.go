// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/test/harness"
)

func code(err error) uint {
	if e, ok := errors.AsType[*types.Error](err); ok {
		return e.Code
	}
	return 0
}

func recordFile(n *harness.Node, p *harness.Pod) string {
	return filepath.Join(n.StateDir, "pods", rpc.AttachmentKey(p.ContainerID, p.IfName)+".json")
}

func mustRecord(tb testing.TB, n *harness.Node, p *harness.Pod) *rpc.Attachment {
	tb.Helper()
	records, err := rpc.OpenAttachments(n.StateDir)
	if err != nil {
		tb.Fatal(err)
	}
	a, err := records.Get(rpc.AttachmentKey(p.ContainerID, p.IfName))
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestClosedPodAnswersOnlyItsNode(t *testing.T) {
	for _, ptp := range []bool{false, true} {
		for _, version := range []string{"0.4.0", "1.0.0", "1.1.0"} {
			t.Run(fmt.Sprintf("ptp=%t/%s", ptp, version), func(t *testing.T) {
				n := mustNode(t, harness.Config{PTP: ptp, CNIVersion: version})
				s := mustInstall(t, n, small)
				a := mustAdd(t, n, harness.PodSpec{Name: "a"})
				b := mustAdd(t, n, harness.PodSpec{Name: "b"})
				mustServe(t, a)
				if errs := ask(n.Command, a); errs != nil {
					t.Errorf("the node does not reach the pod: %v", errs)
				}
				if errs := ask(b.Command, a); len(errs) != 2 {
					t.Errorf("a closed pod reaches a closed pod: %v", errs)
				}
				if err := n.CheckPod(t.Context(), a); err != nil {
					t.Error("CHECK:", err)
				}
				for _, p := range []*harness.Pod{a, b} {
					if err := n.DelPod(t.Context(), p); err != nil {
						t.Error(err)
					}
				}
				if l := left(t, n); l != nil {
					t.Errorf("left behind: %v", l)
				}
				if c := slots(t, s); len(c) != 0 {
					t.Errorf("left in the kernel: %v", c)
				}
			})
		}
	}
}

func TestOpenPod(t *testing.T) {
	for name, entry := range map[string]map[string]any{
		"failurePolicy":    {"failurePolicy": "Open"},
		"exemptNamespaces": {"failurePolicy": "Fail", "exemptNamespaces": []string{"default"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := mustNode(t, harness.Config{Entry: entry})
			mustInstall(t, n, small)
			a, b := mustAdd(t, n, harness.PodSpec{}), mustAdd(t, n, harness.PodSpec{})
			mustServe(t, a)
			if errs := ask(b.Command, a); errs != nil {
				t.Errorf("an open pod does not reach an open pod: %v", errs)
			}
			if !mustRecord(t, n, a).Open {
				t.Error("the record does not say that the pod is open")
			}
		})
	}
}

// A failed ADD leaves nothing, even before the runtime's DEL.
func TestFailedAddLeavesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not a cgroup")
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		entry map[string]any
		spec  harness.PodSpec
		spoil func(tb testing.TB, n *harness.Node, p *harness.Pod)
		code  uint
	}{
		"agent away, Fail":      {entry: map[string]any{"failurePolicy": "Fail"}, code: types.ErrTryAgainLater},
		"no door program":       {spoil: removeProgram("door_in"), code: types.ErrTryAgainLater},
		"no socket program":     {spoil: removeProgram("sock_connect6"), code: types.ErrTryAgainLater},
		"record not writable":   {spoil: blockRecord, code: types.ErrTryAgainLater},
		"cgroup name refused":   {spec: harness.PodSpec{CgroupPath: "a--b.slice"}, code: types.ErrInvalidNetworkConfig},
		"cgroup cannot be made": {spec: harness.PodSpec{CgroupPath: "/new/cgroup.procs/pod"}, code: types.ErrInvalidNetworkConfig},
		"not a cgroup root": {entry: map[string]any{"cgroupRoot": file},
			code: types.ErrInvalidNetworkConfig},
	} {
		t.Run(name, func(t *testing.T) {
			n := mustNode(t, harness.Config{Entry: test.entry})
			s := mustInstall(t, n, small)
			p, err := n.NewPod(test.spec)
			if err != nil {
				t.Fatal(err)
			}
			if test.spoil != nil {
				test.spoil(t, n, p)
			}
			before := mustTree(t, n.CgroupRoot)
			err = p.Add(t.Context())
			if code(err) != test.code {
				t.Errorf("ADD gave %v, want code %d", err, test.code)
			}
			t.Log(err)
			mustRemove(t, recordFile(n, p)+".tmp")
			if l := left(t, n); l != nil {
				t.Errorf("left behind: %v", l)
			}
			if c := slots(t, s); len(c) != 0 {
				t.Errorf("left in the kernel: %v", c)
			}
			if diff := cmp.Diff(before, mustTree(t, n.CgroupRoot)); diff != "" {
				t.Errorf("cgroups (-before +after):\n%s", diff)
			}
			if err := n.DelPod(t.Context(), p); err != nil {
				t.Error("DEL after a failed ADD:", err)
			}
		})
	}
}

func removeProgram(name string) func(testing.TB, *harness.Node, *harness.Pod) {
	return func(tb testing.TB, n *harness.Node, _ *harness.Pod) {
		mustRemove(tb, state.Dir(n.Bpffs).Prog(name))
	}
}

// blockRecord puts a folder where the record must go.
func blockRecord(tb testing.TB, n *harness.Node, p *harness.Pod) {
	if err := os.MkdirAll(recordFile(n, p)+".tmp", 0o700); err != nil {
		tb.Fatal(err)
	}
}

// mustTree lists the folders below root.
func mustTree(tb testing.TB, root string) []string {
	tb.Helper()
	var folders []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return folders
}

func TestFullTableHarmsNobodyElse(t *testing.T) {
	n := mustNode(t, harness.Config{})
	s := mustInstall(t, n, state.Sizes{Pods: 1, Flows: 64})
	a := mustAdd(t, n, harness.PodSpec{})
	before := slots(t, s)
	if _, err := n.AddPod(t.Context(), harness.PodSpec{}); code(err) != types.ErrTryAgainLater {
		t.Errorf("ADD to a full table gave %v", err)
	}
	if diff := cmp.Diff(before, slots(t, s)); diff != "" {
		t.Errorf("kernel tables (-before +after):\n%s", diff)
	}
	if err := n.CheckPod(t.Context(), a); err != nil {
		t.Error(err)
	}
}

func TestNoPins(t *testing.T) {
	for policy, want := range map[string]uint{"Closed": 11, "Fail": 11, "Open": 0} {
		t.Run(policy, func(t *testing.T) {
			n := mustNode(t, harness.Config{Entry: map[string]any{"failurePolicy": policy}})
			p, err := n.NewPod(harness.PodSpec{})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Add(t.Context()); code(err) != want || (err == nil) != (want == 0) {
				t.Fatalf("ADD gave %v, want code %d", err, want)
			}
			if want == 0 {
				if a := mustRecord(t, n, p); a.PodID != 0 || a.CgroupID == 0 || !a.Open {
					t.Errorf("record %+v", a)
				}
			} else if l := left(t, n); l != nil {
				t.Errorf("left behind: %v", l)
			}
			status := uint(0)
			if policy != "Open" {
				status = types.ErrPluginNotAvailable
			}
			if err := n.Status(t.Context()); code(err) != status {
				t.Errorf("STATUS gave %v, want code %d", err, status)
			}
			if err := n.DelPod(t.Context(), p); err != nil {
				t.Error(err)
			}
			if l := left(t, n); l != nil {
				t.Errorf("left behind after DEL: %v", l)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	for policy, want := range map[string]uint{"Closed": 0, "Fail": types.ErrPluginNotAvailable, "Open": 0} {
		n := mustNode(t, harness.Config{Entry: map[string]any{"failurePolicy": policy}})
		mustInstall(t, n, small)
		if err := n.Status(t.Context()); code(err) != want || (err == nil) != (want == 0) {
			t.Errorf("%s: STATUS gave %v, want code %d", policy, err, want)
		}
	}
}

// An agent that takes the request and is silent costs the timeout, not more.
func TestSilentAgent(t *testing.T) {
	n := mustNode(t, harness.Config{Entry: map[string]any{"timeout": "300ms"}})
	mustInstall(t, n, small)
	l := mustListen(t, n.Socket)
	defer l.Close()
	start := time.Now()
	p := mustAdd(t, n, harness.PodSpec{})
	if took := time.Since(start); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("ADD took %s", took)
	}
	start = time.Now()
	if err := p.Del(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("DEL took %s", took)
	}
}

func TestPrevResultUnchanged(t *testing.T) {
	n := mustNode(t, harness.Config{})
	mustInstall(t, n, small)
	p := mustAdd(t, n, harness.PodSpec{})
	prev, err := json.Marshal(p.Result)
	if err != nil {
		t.Fatal(err)
	}
	var odd map[string]any
	if err := json.Unmarshal(prev, &odd); err != nil {
		t.Fatal(err)
	}
	odd["vendor"] = "of another plugin"
	out, err := call(t, n, p, "ADD", map[string]any{"prevResult": odd})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(odd, got); diff != "" {
		t.Errorf("result (-prevResult +result):\n%s", diff)
	}
}

func TestManyAtOnce(t *testing.T) {
	n := mustNode(t, harness.Config{})
	s := mustInstall(t, n, small)
	for range 20 {
		var pods [2]*harness.Pod
		var errs [2]error
		both(func(i int) { pods[i], errs[i] = n.AddPod(context.Background(), harness.PodSpec{}) })
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		if a, b := mustRecord(t, n, pods[0]), mustRecord(t, n, pods[1]); a.Slot == b.Slot || a.PodID == b.PodID {
			t.Fatalf("two pods share an identity: %+v %+v", a, b)
		}
		both(func(i int) { errs[i] = n.DelPod(context.Background(), pods[i]) })
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
	}
	if c := slots(t, s); len(c) != 0 || left(t, n) != nil {
		t.Errorf("left behind: %v %v", c, left(t, n))
	}
}

func both(f func(i int)) {
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
