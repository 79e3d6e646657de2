// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
)

// TestExecSum: an entry with a sum allows the file that has it, once the agent has taken
// it, and no other at that path.
func TestExecSum(t *testing.T) {
	t.Parallel()
	s := newRestricted(t)
	content, err := os.ReadFile(s.a)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.b, append(content, 0), 0o755); err != nil { // as good a program
		t.Fatal(err)
	}
	alive := s.client.Command(context.WithoutCancel(t.Context()), s.first, "sleep", "1h")
	if err := alive.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		alive.Process.Kill()
		alive.Wait()
	})
	s.runs(ok, s.b)
	sum := fmt.Sprintf(", sha256: %x}", sha256.Sum256(content))
	s.put("WorkloadPolicy", workload(execs("Kill", entry(s.first), "{path: "+s.a+sum, "{path: "+s.b+sum)))
	s.until("the sum is taken and in force", func() bool {
		o, err := end(s.command(s.client, s.first, "exec", s.a, "touch", t.TempDir()+"/witness"))
		return err == nil && o.status == ok
	})
	s.runs(ok, s.a)
	s.runs(killed, s.b)
	s.event(s.client, "the other file", func(e *rpc.Event) bool {
		return e.Type == "exec" && e.Outcome == "killed" && strings.HasSuffix(e.Detail, s.b)
	})
	if got, want := s.notes(), fmt.Sprintf("%s with the sum %x", s.a, sha256.Sum256(content)); !strings.Contains(got, want) {
		t.Errorf("status says %q, want %q in it", got, want)
	}
	s.kill9()
	s.runs(ok, s.a)
	s.runs(killed, s.b)
	s.start()
	s.runs(ok, s.a)
	s.runs(killed, s.b)
	copied := copyOf(t, s.dir, "copied") // the sum is of the file at the path
	s.runs(killed, copied)
	s.remove("WorkloadPolicy")
	s.runs(ok, s.b)
}

// notes is what status says of the policy's rules.
func (s *restricted) notes() string {
	s.Helper()
	var notes []string
	for _, p := range s.status().Policies {
		for _, r := range p.Rules {
			notes = append(notes, r.Note)
		}
	}
	return strings.Join(notes, "; ")
}
