// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"maps"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/test/harness"
)

func TestRepeatedAdd(t *testing.T) {
	n := mustNode(t, harness.Config{})
	s := mustInstall(t, n, small)
	p := mustAdd(t, n, harness.PodSpec{})
	before := slots(t, s)
	if _, err := call(t, n, p, "ADD", map[string]any{"prevResult": p.Result}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, slots(t, s)); diff != "" {
		t.Errorf("kernel tables (-first +second ADD):\n%s", diff)
	}
	if err := n.CheckPod(t.Context(), p); err != nil {
		t.Error(err)
	}
	// As it was called first: nothing is taken down, so the pod keeps its identity.
	first := mustRecord(t, n, p)
	below := map[string]any{"cgroupPath": strings.TrimPrefix(p.Cgroup, n.CgroupRoot)}
	for range 2 {
		if _, err := call(t, n, p, "ADD", map[string]any{"prevResult": p.Result, "runtimeConfig": below}); err != nil {
			t.Fatal(err)
		}
	}
	if now := mustRecord(t, n, p); now.PodID != first.PodID || now.Slot != first.Slot {
		t.Errorf("the pod is %d in slot %d, was %d in %d", now.PodID, now.Slot, first.PodID, first.Slot)
	}
}

// An ADD that fails opens nothing: what an earlier one attached stands, or the
// interface is down.
func TestFailedRepeatedAdd(t *testing.T) {
	for name, test := range map[string]struct {
		more   map[string]any
		spoil  string // program whose pin goes
		code   uint
		stands bool
	}{
		"bad cgroup":   {map[string]any{"runtimeConfig": map[string]any{"cgroupPath": "a--b.slice"}}, "", 7, true},
		"no cgroup v2": {map[string]any{"cgroupRoot": "/proc", "runtimeConfig": map[string]any{"cgroupPath": "/a"}}, "", 7, true},
		"agent away":   {map[string]any{"failurePolicy": "Fail"}, "", 11, true},
		"no pins":      {map[string]any{"bpffs": "/nowhere"}, "", 11, true},
		"no socket program": {map[string]any{"runtimeConfig": map[string]any{"cgroupPath": "/other"}},
			"sock_connect6", 11, false},
		"another cgroup, agent away": {map[string]any{"failurePolicy": "Fail",
			"runtimeConfig": map[string]any{"cgroupPath": "/other"}}, "", 11, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := mustNode(t, harness.Config{})
			s := mustInstall(t, n, small)
			p := mustAdd(t, n, harness.PodSpec{})
			first, before := mustRecord(t, n, p), slots(t, s)
			if test.spoil != "" {
				removeProgram(test.spoil)(t, n, p)
			}
			more := map[string]any{"prevResult": p.Result,
				"runtimeConfig": map[string]any{"cgroupPath": strings.TrimPrefix(p.Cgroup, n.CgroupRoot)}}
			maps.Copy(more, test.more)
			tree := mustTree(t, n.CgroupRoot)
			_, err := call(t, n, p, "ADD", more)
			if code(err) != test.code {
				t.Errorf("second ADD gave %v, want code %d", err, test.code)
			}
			if diff := cmp.Diff(tree, mustTree(t, n.CgroupRoot)); diff != "" {
				t.Errorf("cgroups (-first +second ADD):\n%s", diff)
			}
			if !test.stands {
				if mustUp(t, n, first.HostIf) || left(t, n) != nil || len(slots(t, s)) != 0 {
					t.Errorf("interface up %t, left %v %v, want it down and nothing left", mustUp(t, n, first.HostIf), left(t, n), slots(t, s))
				}
				return
			}
			if diff := cmp.Diff(before, slots(t, s)); diff != "" {
				t.Errorf("kernel tables (-first +second ADD):\n%s", diff)
			}
			if now := mustRecord(t, n, p); now.PodID != first.PodID || now.Slot != first.Slot {
				t.Errorf("the pod is %d in slot %d, was %d in %d", now.PodID, now.Slot, first.PodID, first.Slot)
			}
			must(t, n.CheckPod(t.Context(), p))
			if !mustUp(t, n, first.HostIf) {
				t.Error("the interface is down")
			}
		})
	}
}

// mustUp says whether an interface of the node is up.
func mustUp(tb testing.TB, n *harness.Node, name string) (up bool) {
	tb.Helper()
	must(tb, n.Do(func() error {
		i, err := net.InterfaceByName(name)
		if err == nil {
			up = i.Flags&net.FlagUp != 0
		}
		return err
	}))
	return up
}
