// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

func TestDelTwice(t *testing.T) {
	n := mustNode(t, harness.Config{})
	s := mustInstall(t, n, small)
	p := mustAdd(t, n, harness.PodSpec{})
	for range 2 {
		if err := p.Del(t.Context()); err != nil {
			t.Error(err)
		}
		if c := slots(t, s); len(c) != 0 || left(t, n) != nil {
			t.Errorf("left behind: %v %v", c, left(t, n))
		}
	}
}

// The runtime's second DEL may come with nothing in it.
func TestDelWithEverythingGone(t *testing.T) {
	for name, lose := range map[string]func(tb testing.TB, n *harness.Node, p *harness.Pod){
		"nothing": func(testing.TB, *harness.Node, *harness.Pod) {},
		"namespace": func(tb testing.TB, n *harness.Node, p *harness.Pod) {
			if err := p.RemoveNetns(); err != nil {
				tb.Fatal(err)
			}
		},
		"record": func(tb testing.TB, n *harness.Node, p *harness.Pod) {
			mustRemove(tb, recordFile(n, p))
		},
		"state folder": func(tb testing.TB, n *harness.Node, p *harness.Pod) { mustRemove(tb, n.StateDir) },
		"pins":         func(tb testing.TB, n *harness.Node, p *harness.Pod) { mustRemove(tb, n.Bpffs) },
		"pins and state": func(tb testing.TB, n *harness.Node, p *harness.Pod) {
			mustRemove(tb, n.Bpffs)
			mustRemove(tb, n.StateDir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := mustNode(t, harness.Config{})
			mustInstall(t, n, small)
			p := mustAdd(t, n, harness.PodSpec{})
			lose(t, n, p)
			_, err := callRaw(t, n, entry(t, n, map[string]any{"prevResult": nil}), "CNI_COMMAND=DEL",
				"CNI_CONTAINERID="+p.ContainerID, "CNI_IFNAME="+p.IfName, "CNI_NETNS=")
			if err != nil {
				t.Error("DEL:", err)
			}
			if l := left(t, n); l != nil {
				t.Errorf("left behind: %v", l)
			}
			if err := n.DelPod(t.Context(), p); err != nil {
				t.Error("second DEL:", err)
			}
		})
	}
}

func mustRemove(tb testing.TB, path string) {
	tb.Helper()
	if err := os.RemoveAll(path); err != nil {
		tb.Fatal(err)
	}
}

// After a reboot the pins are new and the records old: a slot and an id in a
// record may be another pod's by now.
func TestDelAfterReboot(t *testing.T) {
	n := mustNode(t, harness.Config{})
	mustInstall(t, n, small)
	old := mustAdd(t, n, harness.PodSpec{})
	mustRemove(t, n.Bpffs)
	mustInstall(t, n, small)
	p := mustAdd(t, n, harness.PodSpec{})
	if a, b := mustRecord(t, n, old), mustRecord(t, n, p); a.Slot != b.Slot || a.PodID != b.PodID {
		t.Fatalf("the test needs two pods of one identity: %+v %+v", a, b)
	}
	if err := n.DelPod(t.Context(), old); err != nil {
		t.Error(err)
	}
	if err := n.CheckPod(t.Context(), p); err != nil {
		t.Error("the other pod was harmed:", err)
	}
}

func TestDelWithWrongConfiguration(t *testing.T) {
	n := mustNode(t, harness.Config{})
	s := mustInstall(t, n, small)
	p := mustAdd(t, n, harness.PodSpec{})
	if _, err := call(t, n, p, "DEL", map[string]any{"failurePolicy": "Maybe", "timeout": 5}); err != nil {
		t.Error(err)
	}
	if c := slots(t, s); len(c) != 0 || left(t, n) != nil {
		t.Errorf("left behind: %v %v", c, left(t, n))
	}
}

func TestGCAfterALostDel(t *testing.T) {
	n := mustNode(t, harness.Config{})
	s := mustInstall(t, n, small)
	keep := mustAdd(t, n, harness.PodSpec{})
	before := slots(t, s)
	lost, lostRecord := mustAdd(t, n, harness.PodSpec{}), mustAdd(t, n, harness.PodSpec{})
	// libcni would run DEL from its cache.
	mustRemove(t, filepath.Join(n.Root, "cni", "cache"))
	mustRemove(t, recordFile(n, lostRecord))
	if err := n.GC(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	if l := left(t, n); len(l) != 2 {
		t.Errorf("left behind: %v", l)
	}
	if got := slots(t, s); got["pods"] != before["pods"]+1 { // of the record that is gone
		t.Errorf("pods in the kernel: %v, before: %v", got, before)
	}
	_, err := call(t, n, keep, "CHECK", map[string]any{"prevResult": keep.Result})
	if err != nil {
		t.Error("the valid pod was harmed:", err)
	}
	if _, err := call(t, n, lost, "CHECK", map[string]any{"prevResult": lost.Result}); code(err) != 102 {
		t.Errorf("CHECK of a collected pod gave %v", err)
	}
}

// Without the list of the valid ones, GC must not take down every gate.
func TestGCWithoutAList(t *testing.T) {
	n := mustNode(t, harness.Config{})
	mustInstall(t, n, small)
	p := mustAdd(t, n, harness.PodSpec{})
	_, err := callRaw(t, n, entry(t, n, nil), "CNI_COMMAND=GC")
	if code(err) != 7 {
		t.Errorf("GC gave %v, want code 7", err)
	}
	if err := n.CheckPod(t.Context(), p); err != nil {
		t.Error(err)
	}
}
