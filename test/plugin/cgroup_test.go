// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/test/harness"
)

func mustInode(tb testing.TB, path string) uint64 {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// podOf is the pod id that a cgroup has in the kernel, 0 if none.
func podOf(tb testing.TB, s *state.State, path string) uint32 {
	tb.Helper()
	var c state.RawCgroupPod
	if err := s.Cgroups.Lookup(mustInode(tb, path), &c); err != nil {
		return 0
	}
	return c.Pod
}

func TestCgroupOfAPod(t *testing.T) {
	for name, test := range map[string]struct {
		spec  harness.PodSpec
		known bool // at ADD
	}{
		"given": {harness.PodSpec{}, true},
		"found": {harness.PodSpec{Cgroup: harness.CgroupFound}, true},
		"late":  {harness.PodSpec{Cgroup: harness.CgroupLate}, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := mustNode(t, harness.Config{})
			s := mustInstall(t, n, small)
			p, err := n.NewPod(test.spec)
			must(t, err)
			early := filepath.Join(p.Cgroup, "early", "deep")
			if test.known {
				must(t, os.MkdirAll(early, 0o755))
			}
			must(t, p.Add(t.Context()))
			a := mustRecord(t, n, p)
			if test.known && (a.Cgroup != p.Cgroup || a.CgroupID != mustInode(t, p.Cgroup)) {
				t.Errorf("record has cgroup %q, %d", a.Cgroup, a.CgroupID)
			}
			mustServe(t, p)
			folders := []string{filepath.Join(p.Cgroup, "main")}
			if test.known {
				folders = append(folders, p.Cgroup, filepath.Dir(early), early)
			}
			for _, folder := range folders {
				if got := podOf(t, s, folder); got != a.PodID {
					t.Errorf("%s is of pod %d, want %d", folder, got, a.PodID)
				}
			}
			must(t, n.DelPod(t.Context(), p))
			if c := slots(t, s); len(c) != 0 {
				t.Errorf("left in the kernel: %v", c)
			}
		})
	}
}

// Folders that the plugin had to make are gone after DEL; those of others stay.
func TestCgroupMade(t *testing.T) {
	for path, want := range map[string]string{
		"/kubepods/pod1":                 "kubepods/pod1",
		"kubepods-burstable-podaa.slice": "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podaa.slice",
		"kubepods.slice:cri:abc":         "kubepods.slice/cri-abc.scope",
	} {
		t.Run(path, func(t *testing.T) {
			n := mustNode(t, harness.Config{})
			mustInstall(t, n, small)
			other := filepath.Join(n.CgroupRoot, "kubepods.slice")
			must(t, os.Mkdir(other, 0o755))
			before := mustTree(t, n.CgroupRoot)
			p := mustAdd(t, n, harness.PodSpec{CgroupPath: path})
			if a := mustRecord(t, n, p); a.Cgroup != filepath.Join(n.CgroupRoot, want) || a.CgroupID != mustInode(t, a.Cgroup) {
				t.Errorf("record has cgroup %q, %d", a.Cgroup, a.CgroupID)
			}
			must(t, p.Del(t.Context()))
			if diff := cmp.Diff(before, mustTree(t, n.CgroupRoot)); diff != "" {
				t.Errorf("cgroups (-before +after):\n%s", diff)
			}
		})
	}
}
