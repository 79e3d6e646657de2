// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// sluice runs a command against the node's agent and reads its JSON.
func (w *world) sluice(into any, args ...string) {
	w.Helper()
	var errs bytes.Buffer
	cmd := w.node.Command(w.Context(), built.agent, append(args, "-o", "json", "--socket", w.node.Socket)...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		w.Fatalf("sluice %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		w.Fatalf("sluice %s: %v", strings.Join(args, " "), err)
	}
}

// running starts a program in a pod that runs until the test ends.
func (w *world) running(p *harness.Pod, program string, args ...string) *harness.Command {
	w.Helper()
	cmd := p.Command(context.WithoutCancel(w.Context()), program, args...)
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// ps is what runs in a pod, by process id.
func (w *world) ps(p *harness.Pod) map[uint32]rpc.Process {
	w.Helper()
	var list struct{ Items []rpc.Running }
	w.sluice(&list, "ps", name(p))
	out := make(map[uint32]rpc.Process)
	for _, r := range list.Items {
		if r.Pod.Name != p.Spec.Name || time.Since(r.StartTime) > 10*time.Minute || time.Since(r.StartTime) < -time.Second {
			w.Errorf("%+v", r)
		}
		out[r.Process.PID] = r.Process
	}
	return out
}

// TestEvents: what a process is, where it comes from, and what it had become at its end.
func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	dir := mustDir(t)
	first, second, witness := copyOf(t, dir, "first"), copyOf(t, dir, "second"), dir+"/witness"
	pod := w.pod("client")
	cmd := w.command(pod, first, "exec", second, "drop-threads", "1000", witness)
	cmd.Args = append(cmd.Args, "--token", "hunter2", strings.Repeat("x", 300))
	cmd.Dir = dir
	w.expectEnd(ok, cmd)

	exit := w.event(pod, "the end of the second program", func(e *rpc.Event) bool { return e.Type == "exit" })
	var exec rpc.Event
	for _, e := range w.events(pod, "exec") {
		if e.Process.Path == second {
			exec = e
		}
	}
	p := exec.Process
	if got := strings.Join(p.Args, " "); !p.Truncated || !strings.HasPrefix(got, second+" drop-threads") ||
		strings.Contains(got, "hunter2") || !strings.Contains(got, "--token ***") {
		t.Errorf("arguments %q, truncated: %t", got, p.Truncated)
	}
	var st unix.Stat_t
	if err := unix.Stat(second, &st); err != nil {
		t.Fatal(err)
	}
	device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	if p.Cwd != dir || p.Container != "main" || p.Binary == nil || p.Binary.Inode != st.Ino || p.Binary.Device != device {
		t.Errorf("in %q, container %q, file %+v; want %q, main, inode %d on %s", p.Cwd, p.Container, p.Binary, dir, st.Ino, device)
	}
	if len(exec.Lineage) != 1 || exec.Lineage[0].Path != first || exec.Lineage[0].ExecID != p.ParentExecID || exec.Tier == "" {
		t.Errorf("lineage %+v of %+v, tier %q", exec.Lineage, p, exec.Tier)
	}
	if c := p.Credentials; c == nil || c.UID != 0 || c.EUID != 0 || !slices.Contains(append(c.Permitted, "SETUID"), "SETUID") {
		t.Errorf("credentials at the exec %+v", c)
	}
	if c := exit.Process.Credentials; c == nil || c.UID != 1000 || c.EUID != 1000 || len(c.Effective) != 0 || exit.Process.UID != 1000 {
		t.Errorf("credentials at the end %+v", c)
	}
	if n := exit.Process.Namespaces; n == nil || *n != *p.Namespaces || n.Net == 0 {
		t.Errorf("namespaces %+v, then %+v", p.Namespaces, n)
	}
	if exit.ExitCode == nil || *exit.ExitCode != 0 || exit.Process.ExecID != p.ExecID || exit.Process.Path != second {
		t.Errorf("exit %+v", exit)
	}
}

// TestEventsOfRule: events are chosen by the rule that brought them about.
func TestEventsOfRule(t *testing.T) {
	t.Parallel()
	s := newRestricted(t)
	s.put("WorkloadPolicy", workload(execs("Kill", entry(s.first))))
	s.runs(killed, s.a)
	for rule, want := range map[string]bool{
		"p": true, "shop/p": true, "WorkloadPolicy/shop/p": true, "WorkloadPolicy/shop/p[0]": true,
		"p[1]": false, "q": false, "NetworkPolicy/shop/p": false,
	} {
		var list struct{ Items []rpc.Event }
		found := func() bool {
			s.sluice(&list, "events", "--rule", rule)
			return len(list.Items) > 0
		}
		if want {
			s.until("an event of rule "+rule, found)
		} else if found() {
			t.Errorf("rule %s: %+v", rule, list.Items)
		}
		for _, e := range list.Items {
			if e.Outcome != "killed" || e.Process.Path != s.a || len(e.Process.Args) == 0 || len(e.Lineage) == 0 {
				t.Errorf("rule %s: %+v", rule, e)
			}
		}
	}
}

// TestPs: the tree is that of now, also of what began while no agent ran.
func TestPs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	dir := mustDir(t)
	program, drops := copyOf(t, dir, "program"), dir+"/dropped"
	pod, other := w.pod("client"), w.pod("other")
	w.running(other, program, "sleep", "1h")
	first := w.running(pod, program, "sleep", "1h", "--password=hunter2")
	dropped := w.running(pod, program, "drop-threads", "1000", drops, "--for", "1h")
	w.until("it drops", func() bool { return exists(t, drops) })
	check := func(when string) map[uint32]rpc.Process {
		t.Helper()
		list := w.ps(pod)
		p, q := list[uint32(first.Process.Pid)], list[uint32(dropped.Process.Pid)]
		if p.Path != program || p.UID != 0 || p.ParentPID != uint32(os.Getpid()) || strings.Join(p.Args, " ") != program+" sleep 1h --password=***" {
			t.Errorf("%s: %+v", when, p)
		}
		if q.Credentials == nil || q.UID != 1000 || len(q.Credentials.Effective) != 0 {
			t.Errorf("%s: after its drop: %+v, %+v", when, q, q.Credentials)
		}
		return list
	}
	before := check("at first")
	w.kill9()
	late := w.running(pod, program, "sleep", "1h", "late")
	w.start()
	after := check("after a restart")
	for pid, p := range before {
		if p.ExecID == "" || after[pid].ExecID != p.ExecID {
			t.Errorf("exec id %q of %s, was %q", after[pid].ExecID, p.Path, p.ExecID)
		}
	}
	if p := after[uint32(late.Process.Pid)]; len(after) != len(before)+1 || len(p.Args) != 4 || p.Args[3] != "late" {
		t.Errorf("%d processes, then %d, with %+v", len(before), len(after), p)
	}
	first.Process.Kill()
	w.until("the process is gone", func() bool { _, there := w.ps(pod)[uint32(first.Process.Pid)]; return !there })
}

// TestPodBeforeAgent: processes of a pod that came before the first agent are the pod's:
// seen, with the parent they have, and what they start descends from them.
func TestPodBeforeAgent(t *testing.T) {
	t.Parallel()
	w := newNode(t, harness.Config{Entry: map[string]any{"failurePolicy": "Open"}})
	program, dir := copyOf(t, mustDir(t), "program"), mustDir(t)
	pod := w.add(harness.PodSpec{Namespace: "shop", Name: "client"})
	shell := w.running(pod, "/bin/sh", "-c", "while [ ! -e "+dir+"/go ]; do sleep 0.1; done; "+program+" touch "+dir+"/gone; exec "+program+" sleep 1h")
	w.start()
	list := w.ps(pod)
	p := list[uint32(shell.Process.Pid)]
	if !strings.HasSuffix(p.Path, "sh") || p.ExecID == "" || p.Container != "main" || len(p.Args) != 3 {
		t.Errorf("the shell is %+v", p)
	}
	if err := os.WriteFile(dir+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	e := w.event(pod, "the shell starts the program", func(e *rpc.Event) bool { return e.Type == "exec" && e.Process.Path == program })
	if e.Process.ParentExecID == "" {
		t.Errorf("the program comes from nowhere: %+v", e)
	}
	w.event(pod, "the shell becomes the program", func(e *rpc.Event) bool {
		return e.Type == "exec" && e.Process.Path == program && e.Process.PID == p.PID && e.Process.ParentExecID == p.ExecID
	})
}
