// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
)

// TestFloodOfOnePod: while nobody reads, one pod starts processes until there is no room
// to tell of them, and breaks a rule all the while. What rules did to another pod is told
// all the same, and what was not told is counted.
func TestFloodOfOnePod(t *testing.T) {
	t.Parallel()
	s := newRestricted(t)
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	s.put("WorkloadPolicy", `{podSelector: {}, `+execs("Kill", entry(s.first), entry(shell))+`}`)
	noisy := s.pod("noisy")
	s.expectOf(ok, noisy, s.first, "sleep", "0s")
	signal := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(s.agent.PID(), sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	t.Cleanup(func() { _ = syscall.Kill(s.agent.PID(), syscall.SIGCONT) })
	s.expectEnd(ok, s.command(noisy, "/bin/sh", "-c",
		"i=0; while [ $i -lt 5000 ]; do (:); [ $((i % 10)) != 0 ] || "+s.a+" 2>/dev/null; i=$((i+1)); done; :"))
	s.runs(killed, s.b)
	signal(syscall.SIGCONT)
	s.event(s.client, "the kill in the other pod", func(e *rpc.Event) bool {
		return e.Outcome == "killed" && e.Process.Path == s.b
	})
	lost := s.status().Lost
	if lost["processes"] == 0 || lost["enforcement"] != 0 {
		t.Errorf("lost %v, want events of processes alone", lost)
	}
}
