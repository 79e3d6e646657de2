// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// restricted is a client pod with three programs. The first starts the others.
type restricted struct {
	*world
	client         *harness.Pod
	dir            string
	first, a, b, c string // c lies in a folder below
	full           bool   // the node has BPF LSM
}

func newRestricted(t *testing.T) *restricted {
	t.Helper()
	s := &restricted{world: newWorld(t, harness.Config{}), dir: mustDir(t)}
	s.client = s.pod("client")
	if err := os.Mkdir(filepath.Join(s.dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.first, s.a, s.b, s.c = copyOf(t, s.dir, "first"), copyOf(t, s.dir, "a"), copyOf(t, s.dir, "b"), copyOf(t, s.dir, "below/c")
	s.full = s.status().Tier == "full"
	return s
}

func (s *restricted) on(w *world) *restricted {
	on := *s
	on.world = w
	return &on
}

func (s *restricted) status() rpc.Status {
	s.Helper()
	status, err := s.node.Client().Status(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return status
}

// gives is the outcome that status tells of the policy's one rule.
func (s *restricted) gives() string {
	s.Helper()
	for _, p := range s.status().Policies {
		for _, r := range p.Rules {
			return r.Outcome
		}
	}
	return ""
}

// tier is what a node with BPF LSM gives, or else one without.
func tier[T any](s *restricted, full, without T) T {
	if s.full {
		return full
	}
	return without
}

// runs has first execute a program that makes a file, and wants it to end like this.
func (s *restricted) runs(want int, program string) {
	s.Helper()
	witness := filepath.Join(s.TempDir(), "witness")
	s.expectOf(want, s.client, s.first, "exec", program, "touch", witness)
	if exists(s.T, witness) != (want == ok) {
		s.Errorf("%s: the file is there: %v", program, want != ok)
	}
}

// exec is a WorkloadPolicy's exec section.
func execs(action string, entries ...string) string {
	return fmt.Sprintf("exec: {action: %s, allow: [%s]}", action, strings.Join(entries, ", "))
}

func entry(path string) string { return "{path: " + path + "}" }

// TestExecRules: what no entry allows does not run.
func TestExecRules(t *testing.T) {
	t.Parallel()
	s := newRestricted(t)
	s.run("no policy", func(w *world) { s.on(w).runs(ok, s.b) })
	denied, audited := tier(s, eperm, killed), tier(s, "denied", "killed")
	for name, tc := range map[string]struct {
		rest    string
		b       int // how the program ends that no entry allows
		outcome string
	}{
		"Kill":           {execs("Kill", entry(s.first), entry(s.a)), killed, "killed"},
		"Deny, or Kill":  {"fallback: Kill, " + execs("Deny", entry(s.first), entry(s.a)), denied, audited},
		"Deny, or none":  {execs("Deny", entry(s.first), entry(s.a)), tier(s, eperm, ok), tier(s, "denied", "observed")},
		"Audit":          {execs("Audit", entry(s.first), entry(s.a)), ok, "audited"},
		"mode Audit":     {"mode: Audit, " + execs("Kill", entry(s.first), entry(s.a)), ok, "audited"},
		"a folder":       {execs("Kill", entry(s.first), entry(s.a), entry(`"`+s.dir+`/below/*"`)), killed, "killed"},
		"at any depth":   {execs("Kill", entry(`"`+s.dir+`/**"`)), ok, ""},
		"by its parent":  {execs("Kill", entry(s.first), entry(s.a), "{path: "+s.b+", parents: ["+entry(s.first)+"]}"), ok, ""},
		"not its parent": {execs("Kill", entry(s.first), entry(s.a), "{path: "+s.b+", parents: ["+entry(s.a)+"]}"), killed, "killed"},
	} {
		s.run(name, func(w *world) {
			s := s.on(w)
			s.put("WorkloadPolicy", workload(tc.rest))
			defer s.remove("WorkloadPolicy")
			before := len(s.outcomesOf(s.b, tc.outcome))
			s.runs(ok, s.a)
			s.runs(tc.b, s.b)
			if tc.outcome == "" {
				return
			}
			if got := s.gives(); got != tc.outcome {
				s.Errorf("status gives %q, want %q", got, tc.outcome)
			}
			s.until("it is told", func() bool { return len(s.outcomesOf(s.b, tc.outcome)) > before })
			e := s.outcomesOf(s.b, tc.outcome)[before]
			if e.Rule == nil || e.Rule.Kind != "WorkloadPolicy" || e.Rule.Index != 0 || e.Process.PID == 0 || e.Process.ExecID == "" {
				s.Errorf("told as %+v", e)
			}
		})
	}
	s.put("WorkloadPolicy", workload(execs("Kill", entry(s.first), entry(s.a), entry(s.c))))
	s.run("a policy more", func(w *world) {
		s := s.on(w)
		s.runs(killed, s.b)
		s.putAs("WorkloadPolicy", "more", workload(execs("Audit", entry(s.b))))
		s.runs(ok, s.b)
	})
	s.run("agent dead", func(w *world) {
		s.kill9()
		other := copyOf(w.T, s.dir, "other")
		s.on(w).runs(ok, s.c)
		s.on(w).runs(killed, other)
	})
}

// outcomesOf are the events with an outcome of execs of a program.
func (s *restricted) outcomesOf(program, outcome string) []rpc.Event {
	return slices.DeleteFunc(s.events(s.client, "exec"), func(e rpc.Event) bool {
		return outcome == "" || e.Outcome != outcome || !strings.HasSuffix(e.Detail, program)
	})
}

// TestActFlood: a rule that is broken without end has all counted and few told.
func TestActFlood(t *testing.T) {
	t.Parallel()
	s := newRestricted(t)
	s.put("WorkloadPolicy", workload("capabilities: {action: Audit}"))
	if s.gives() != "audited" {
		skip(t, "this node gives "+s.gives())
	}
	const uses = 1000
	s.expectOf(ok, s.client, s.a, "chown", filepath.Join(s.dir, "owned"), fmt.Sprint(uses))
	value := func(name string) (n int) {
		for line := range strings.Lines(s.metrics()) {
			if strings.HasPrefix(line, name+`{namespace="shop"`) {
				fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n)
			}
		}
		return n
	}
	acts, held := value("sluice_acts_total"), value("sluice_acts_held_total")
	told := len(s.events(s.client, "capability"))
	if acts < uses || held == 0 {
		t.Errorf("%d acts counted, %d of them held; want at least %d, and some", acts, held, uses)
	}
	s.until("the others are told", func() bool {
		told = len(s.events(s.client, "capability"))
		return told == acts-held
	})
}

// metrics is what Prometheus would read.
func (s *restricted) metrics() string {
	s.Helper()
	text, err := s.node.Metrics(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return text
}

// TestCloseWithoutLSM: a pod that a Deny rule selects is closed where nothing can be
// denied, if its policy says so.
func TestCloseWithoutLSM(t *testing.T) {
	t.Parallel()
	s := newRestricted(t)
	if s.full {
		skip(t, "this node has BPF LSM")
	}
	server := s.pod("server")
	s.serve(server, "tcp", 80)
	s.expectOf(ok, s.client, s.first, "dial", "tcp", at(server.IPv4(), 80))
	s.put("WorkloadPolicy", workload("fallback: Close, "+execs("Deny", entry(s.first))))
	s.expectOf(silence, s.client, s.first, "dial", "tcp", at(server.IPv4(), 80))
	if p := s.status().Policies[0]; p.State == "enforced" || p.Reason == "" {
		t.Errorf("status says %s, %q", p.State, p.Reason)
	}
}

// TestCapabilityRules: a capability that is not allowed is refused, or its user runs no
// further.
func TestCapabilityRules(t *testing.T) {
	t.Parallel()
	s := newRestricted(t)
	for name, tc := range map[string]struct {
		rest    string
		ends    int
		outcome string
	}{
		"Kill":          {"capabilities: {action: Kill}", killed, "killed"},
		"Deny":          {"capabilities: {allow: [{names: [KILL]}]}", tier(s, eperm, ok), tier(s, "denied", "observed")},
		"Audit":         {"capabilities: {action: Audit}", ok, "audited"},
		"allowed":       {"capabilities: {action: Kill, allow: [{names: [CHOWN]}]}", ok, ""},
		"to a program":  {"capabilities: {action: Kill, allow: [{names: [CHOWN], processes: [" + entry(s.a) + "]}]}", ok, ""},
		"to another":    {"capabilities: {action: Kill, allow: [{names: [CHOWN], processes: [" + entry(s.b) + "]}]}", killed, "killed"},
		"to its folder": {"capabilities: {action: Kill, allow: [{names: [CHOWN], processes: [" + entry(`"`+s.dir+`/*"`) + "]}]}", ok, ""},
	} {
		s.run(name, func(w *world) {
			s := s.on(w)
			s.put("WorkloadPolicy", workload(tc.rest))
			defer s.remove("WorkloadPolicy")
			if tc.outcome != "" && tc.outcome != s.gives() {
				skip(w.T, "this node gives "+s.gives()) // no LSM, and a kernel before 6.18
			}
			file := filepath.Join(s.dir, "owned")
			defer os.Remove(file)
			defer os.Remove(file + ".after")
			told := func() (n int) {
				for _, e := range s.events(s.client, "capability") {
					if e.Outcome == tc.outcome && strings.HasPrefix(e.Detail, "CHOWN") {
						n++
					}
				}
				return n
			}
			before := told()
			s.expectOf(tc.ends, s.client, s.a, "chown", file)
			if exists(w.T, file+".after") != (tc.ends == ok) {
				s.Errorf("it went on: %v", tc.ends != ok)
			}
			if tc.outcome != "" {
				s.until("it is told", func() bool { return told() > before })
			}
		})
	}
}
