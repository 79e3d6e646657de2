// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/test/harness"
)

func TestCheckFindsWhatIsMissing(t *testing.T) {
	n := mustNode(t, harness.Config{})
	s := mustInstall(t, n, small)
	pins := func(a *rpc.Attachment) string { return state.Dir(n.Bpffs).Pod(a.Key()) }
	for name, spoil := range map[string]func(t *testing.T, a *rpc.Attachment){
		"door entry": func(t *testing.T, a *rpc.Attachment) {
			must(t, s.Doors.Delete(uint32(a.HostIfIndex)))
		},
		"address": func(t *testing.T, a *rpc.Attachment) {
			must(t, s.Owners.Delete(state.AddrKey(a.IPs[1])))
		},
		"slot": func(t *testing.T, a *rpc.Attachment) {
			must(t, s.Pods.Put(a.Slot, state.RawPod{Id: a.PodID + 1}))
		},
		"door link": func(t *testing.T, a *rpc.Attachment) {
			must(t, os.Remove(filepath.Join(pins(a), "door_out")))
		},
		"links": func(t *testing.T, a *rpc.Attachment) { mustRemove(t, pins(a)) },
		"record": func(t *testing.T, a *rpc.Attachment) {
			must(t, os.Remove(filepath.Join(n.StateDir, "pods", a.Key()+".json")))
		},
		"cgroup": func(t *testing.T, a *rpc.Attachment) {
			must(t, os.Remove(a.Cgroup))
			must(t, os.Mkdir(a.Cgroup, 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustAdd(t, n, harness.PodSpec{})
			if err := n.CheckPod(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			spoil(t, mustRecord(t, n, p))
			err := n.CheckPod(t.Context(), p)
			if code(err) != 102 {
				t.Errorf("CHECK gave %v, want code 102", err)
			}
			t.Log(err)
		})
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
