// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// traces lists what is kept of pods: records and pins.
func (w *world) traces() []string {
	w.Helper()
	records, err := filepath.Glob(filepath.Join(w.node.StateDir, "pods", "*.json"))
	if err != nil {
		w.Fatal(err)
	}
	pins, err := filepath.Glob(filepath.Join(w.node.Bpffs, "pods", "*"))
	if err != nil {
		w.Fatal(err)
	}
	return append(records, pins...)
}

// TestDeleteTwice deletes a pod again and again, with and without an agent.
func TestDeleteTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	keep, first, second := w.pod("keep"), w.pod("first"), w.pod("second")
	for range 2 {
		if err := first.Del(t.Context()); err != nil {
			t.Error(err)
		}
	}
	w.until("the agent has forgotten the pod", func() bool { return w.state(first).Name == "" })
	w.kill9()
	if err := second.RemoveNetns(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := second.Del(t.Context()); err != nil {
			t.Error(err)
		}
	}
	w.start()
	if p := w.state(second); p.Name != "" {
		t.Errorf("deleted pod is back: %+v", p)
	}
	if p := w.state(keep); p.State != "enforced" {
		t.Errorf("pod that was kept: %+v", p)
	}
	if left := w.traces(); len(left) != 2 {
		t.Errorf("traces of one pod: %v", left)
	}
}

// TestGCAfterLostDelete loses a DEL: GC frees the pod, here and in the agent.
func TestGCAfterLostDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client, lost := w.pod("server"), w.pod("client"), w.pod("lost")
	w.serve(server, "tcp", 80)
	w.put("NetworkPolicy", clientOnly)
	s := w.stream(client, built.probe, "tcp", at(server.IPv4(), 80))
	if err := lost.RemoveNetns(); err != nil {
		t.Fatal(err)
	}
	if err := w.node.GC(t.Context(), server, client); err != nil {
		t.Fatal(err)
	}
	w.until("the agent has forgotten the pod", func() bool { return w.state(lost).Name == "" })
	if left := w.traces(); len(left) != 4 {
		t.Errorf("traces of two pods: %v", left)
	}
	s.lossless()
	for _, p := range []*harness.Pod{server, client} {
		if err := w.node.CheckPod(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
}

// TestTwoAtOnce adds two pods at the same time, twenty times over.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	w.put("NetworkPolicy", clientOnly)
	for i := range 20 {
		var pods [2]*harness.Pod
		var errs [2]error
		var both sync.WaitGroup
		for j, app := range []string{"server", "client"} {
			both.Go(func() {
				pods[j], errs[j] = w.node.AddPod(t.Context(), harness.PodSpec{
					Namespace: "shop", Name: fmt.Sprint(app, "-", i), Labels: map[string]string{"app": app}})
			})
		}
		both.Wait()
		if errs[0] != nil || errs[1] != nil {
			t.Fatal(errs)
		}
		server, client := pods[0], pods[1]
		w.serve(server, "tcp", 80)
		w.serve(client, "tcp", 80)
		w.expect(ok, client, "dial", "tcp", at(server.IPv4(), 80))
		for j, p := range pods {
			if s := w.state(p); s.State != "enforced" || len(s.Policies) != 1-j {
				t.Errorf("round %d: %+v", i, s)
			}
		}
		for j, p := range pods {
			both.Go(func() { errs[j] = w.node.DelPod(t.Context(), p) })
		}
		both.Wait()
		if errs[0] != nil || errs[1] != nil {
			t.Fatal(errs)
		}
	}
	if left := w.traces(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
