// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// duel is a client pod in which the program "good" may reach the server and "bad",
// another copy, may not.
type duel struct {
	*world
	server, client *harness.Pod
	dir, good, bad string
	to, to6        string
}

func newDuel(t *testing.T) *duel {
	t.Helper()
	w := newWorld(t, harness.Config{})
	d := &duel{world: w, dir: mustDir(t), server: w.pod("server"), client: w.pod("client")}
	d.good, d.bad = copyOf(t, d.dir, "good"), copyOf(t, d.dir, "bad")
	d.to, d.to6 = at(d.server.IPv4(), 80), at(d.server.IPv6(), 80)
	w.serve(d.server, "tcp", 80)
	w.serve(d.server, "udp", 80)
	return d
}

// enforce allows good alone, and returns once the agent knows which file that is
// in the client's container, which a process of its keeps alive. Until then only
// the path itself counts.
func (d *duel) enforce() {
	d.Helper()
	d.put("WorkloadPolicy", allowProcesses(d.good))
	cmd := d.client.Command(context.WithoutCancel(d.Context()), built.probe, "sleep", "1h")
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	linked := d.dir + "/known"
	if err := os.Link(d.good, linked); err != nil {
		d.Fatal(err)
	}
	d.until("another name of the program works", func() bool {
		o, err := end(d.command(d.client, linked, "dial", "tcp", d.to))
		return err == nil && o.status == ok
	})
}

// note is what status says of the process rule.
func (d *duel) note() string {
	d.Helper()
	s, err := d.node.Client().Status(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	for _, p := range s.Policies {
		if p.Kind == "WorkloadPolicy" && len(p.Rules) > 0 {
			return p.Rules[0].Note
		}
	}
	return ""
}

// TestProcessRule lets one program out and refuses another of the same pod to the
// same address, however it goes about it.
func TestProcessRule(t *testing.T) {
	t.Parallel()
	d := newDuel(t)
	d.enforce()
	d.contest()
}

// TestProcessPattern is TestProcessRule for a rule that names the program's folder. What
// is sent by a process that came before the rule is judged by it too.
func TestProcessPattern(t *testing.T) {
	t.Parallel()
	d := newDuel(t)
	d.good = copyOf(t, d.folder("in"), "good")
	deep := copyOf(t, d.folder("in/deep"), "deep")
	d.put("WorkloadPolicy", allowProcesses(d.good))
	before := d.stream(d.client, d.good, "tcp", d.to)
	d.put("WorkloadPolicy", allowProcesses(d.dir+"/in/*"))
	d.contest()
	d.expectOf(eperm, d.client, deep, "dial", "tcp", d.to)
	d.put("WorkloadPolicy", allowProcesses(d.dir+"/in/**"))
	d.expectOf(ok, d.client, deep, "dial", "tcp", d.to)
	d.expectOf(eperm, d.client, d.bad, "dial", "tcp", d.to)
	before.lossless()
}

func (d *duel) folder(name string) string {
	d.Helper()
	dir := d.dir + "/" + name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		d.Fatal(err)
	}
	return dir
}

// contest has good and bad try the same.
func (d *duel) contest() {
	d.Helper()
	for _, c := range []struct {
		name      string
		args      []string
		good, bad int
	}{
		{"tcp", []string{"dial", "tcp", d.to}, ok, eperm},
		{"tcp6", []string{"dial", "tcp", d.to6}, ok, eperm},
		{"udp", []string{"dial", "udp", d.to}, ok, eperm},
		{"udp6", []string{"dial", "udp", d.to6}, ok, eperm},
		{"sendto", []string{"dial", "udp", d.to, "--unconnected"}, ok, eperm},
		{"sendto6", []string{"dial", "udp", d.to6, "--unconnected"}, ok, eperm},
		{"bound port", []string{"dial", "tcp", d.to, "--from-port", "4000"}, ok, eperm},
		{"thread", []string{"thread-dial", "tcp", d.to}, ok, eperm},
		{"fork", []string{"fork-dial", "tcp", d.to}, ok, eperm},
		{"fast open", []string{"fastopen-dial", d.to}, ok, eperm},
		{"int 0x80", []string{"int80-dial", "tcp", d.to}, ok, eperm},
		{"io_uring", []string{"uring-dial", d.to}, ok, eperm},
		{"comm", []string{"comm", "good", "dial", "tcp", d.to}, ok, eperm},
		{"argv[0]", []string{"argv0", d.good, d.bad, "dial", "tcp", d.to}, eperm, eperm},
		{"exec bad", []string{"exec", d.bad, "dial", "tcp", d.to}, eperm, eperm},
		{"exec good", []string{"exec", d.good, "dial", "tcp", d.to}, ok, ok},
		{"socket passed to bad", []string{"pass-unconnected", d.bad, "tcp", d.to}, eperm, eperm},
		{"socket passed to good", []string{"pass-unconnected", d.good, "tcp", d.to}, ok, ok},
		{"udp socket passed to bad", []string{"pass-unconnected", d.bad, "udp", d.to}, eperm, eperm},
		{"connected socket passed to good", []string{"pass-connected", d.good, "tcp", d.to}, ok, eperm},
		{"connected socket passed to bad", []string{"pass-connected", d.bad, "tcp", d.to}, silence, eperm},
		{"connected udp socket passed to bad", []string{"pass-connected", d.bad, "udp", d.to6}, silence, eperm},
		{"socket inherited by good", []string{"inherit", d.good, "tcp", d.to}, ok, eperm},
		{"socket inherited by bad", []string{"inherit", d.bad, "tcp", d.to}, silence, eperm},
		{"ping", []string{"ping", d.server.IPv4().String()}, ok, silence},
		{"packet socket", []string{"packet-send", "eth0", at(d.client.IPv4(), 777), d.to}, silence, silence},
		{"other namespace", []string{"nsenter-dial", d.node.Netns, "tcp", d.to}, ok, eperm},
		{"other namespace, udp", []string{"nsenter-dial", d.node.Netns, "udp", d.to6}, ok, eperm},
	} {
		d.run(c.name, func(w *world) {
			w.expectOf(c.good, d.client, d.good, c.args...)
			w.expectOf(c.bad, d.client, d.bad, c.args...)
		})
	}
	d.run("under another's name", func(w *world) { // the frame of a flow, from another socket
		w.expectOf(ok, d.client, d.good, "dial", "udp", d.to, "--from-port", "778")
		w.expectOf(silence, d.client, d.bad, "packet-send", "eth0", at(d.client.IPv4(), 778), d.to)
	})
	d.flow(d.client, "a denied flow of bad", func(f *rpc.Flow) bool {
		return f.Verdict == "denied" && f.Source.Process != nil && f.Source.Process.Path == d.bad
	})
}

// TestProcessFiles is about which file a path means.
func TestProcessFiles(t *testing.T) {
	t.Parallel()
	d := newDuel(t)
	d.enforce()
	dial := []string{"dial", "tcp", d.to}
	d.expectOf(ok, d.client, d.good, dial...)

	linked := d.dir + "/linked"
	if err := os.Link(d.good, linked); err != nil {
		t.Fatal(err)
	}
	d.expectOf(ok, d.client, linked, dial...) // one inode is one program
	symlink := d.dir + "/symlink"
	if err := os.Symlink(d.good, symlink); err != nil {
		t.Fatal(err)
	}
	d.expectOf(ok, d.client, symlink, dial...)
	d.expectOf(eperm, d.client, d.good, append([]string{"copy-exec", d.dir + "/copied"}, dial...)...)

	// The file that the path meant keeps its right, the one put in its place has none.
	if err := os.Rename(d.good, d.dir+"/renamed"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.bad, d.good); err != nil {
		t.Fatal(err)
	}
	d.expectOf(ok, d.client, d.dir+"/renamed", dial...)
	d.expectOf(eperm, d.client, d.good, dial...)
}

// TestProcessMounts puts another program over the path.
func TestProcessMounts(t *testing.T) {
	t.Parallel()
	d := newDuel(t)
	d.enforce()
	d.run("own mount namespace", func(w *world) {
		w.expectOf(eperm, d.client, d.bad, "unshare-mount-dial", d.good, "tcp", d.to)
		w.expectOf(eperm, d.client, d.good, "unshare-mount-dial", d.bad, "tcp", d.to)
	})
	d.run("bind mount", func(w *world) {
		// A container with a mount namespace of its own, as runtimes make them.
		own := func(args ...string) *harness.Command {
			cmd := d.client.CommandIn(w.Context(), "own", args[0], args[1:]...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			return cmd
		}
		w.expectEnd(eperm, own(d.bad, "bind-over", d.good, "dial", "tcp", d.to))
	})
	d.run("container of its own", func(w *world) {
		cmd := d.client.CommandIn(w.Context(), "second", d.good, "exec", d.good, "dial", "tcp", d.to)
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		w.expectEnd(ok, cmd)
	})
	d.expectOf(ok, d.client, d.good, "dial", "tcp", d.to)
}

// TestProcessScript names a script: neither its interpreter nor another script that
// it runs is meant.
func TestProcessScript(t *testing.T) {
	t.Parallel()
	d := newDuel(t)
	script := func(name, interpreter string) string {
		path := d.dir + "/" + name
		if err := os.WriteFile(path, fmt.Appendf(nil, "#!%s\n", interpreter), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	named, other := script("named", d.good+" thread-dial"), script("other", d.good+" thread-dial")
	script(d.to, named) // the name of a script is its interpreter's last argument
	symlink := d.dir + "/symlink"
	if err := os.Symlink(named, symlink); err != nil {
		t.Fatal(err)
	}
	d.enforce()
	d.expectOf(eperm, d.client, named, d.to)
	d.put("WorkloadPolicy", allowProcesses(named))
	for _, c := range []struct {
		name string
		want int
		args []string
	}{
		{"script", ok, []string{named, d.to}},
		{"symlink", ok, []string{symlink, d.to}},
		{"exec", ok, []string{d.bad, "exec", named, d.to}},
		{"exec by a thread", ok, []string{d.bad, "thread-exec", named, d.to}},
		{"exec of a descriptor", ok, []string{d.bad, "fd-exec", named, d.to}},
		{"its interpreter", eperm, []string{d.good, "thread-dial", named, d.to}},
		{"another script", eperm, []string{other, d.to}},
		{"another script by a descriptor", eperm, []string{d.bad, "fd-exec", other, d.to}},
		{"argv[0]", eperm, []string{d.bad, "argv0", named, other, d.to}},
	} {
		d.run(c.name, func(w *world) { w.expectOf(c.want, d.client, c.args[0], c.args[1:]...) })
	}
	d.run("as interpreter of another", func(w *world) {
		cmd := w.command(d.client, d.bad, "exec", d.to)
		cmd.Dir = d.dir
		w.expectEnd(eperm, cmd)
	})
	d.flow(d.client, "a flow of the script", func(f *rpc.Flow) bool {
		return f.Verdict == "allowed" && f.Source.Process != nil && f.Source.Process.Path == named
	})
	d.put("WorkloadPolicy", allowProcesses(d.good))
	d.expectOf(eperm, d.client, named, d.to)
	d.expectOf(ok, d.client, d.good, "dial", "tcp", d.to)
}

// TestProcessScriptOff is the same on a node that cannot tell scripts.
func TestProcessScriptOff(t *testing.T) {
	t.Parallel()
	d := newDuel(t)
	d.kill9()
	d.start("--disable", "scripts")
	named := d.dir + "/named"
	if err := os.WriteFile(named, fmt.Appendf(nil, "#!%s thread-dial\n", d.good), 0o755); err != nil {
		t.Fatal(err)
	}
	d.enforce()
	d.put("WorkloadPolicy", allowProcesses(named))
	d.until("status tells that it is a script", func() bool { return strings.Contains(d.note(), "script") })
	d.expectOf(eperm, d.client, named, d.to)
	d.put("WorkloadPolicy", allowProcesses(d.good))
	d.expectOf(eperm, d.client, named, d.to) // the interpreter is not the script
}

// TestProcessPaths has rules with several programs, and one that is missing.
func TestProcessPaths(t *testing.T) {
	t.Parallel()
	d := newDuel(t)
	third := copyOf(t, d.dir, "third")
	d.put("WorkloadPolicy", allowProcesses(d.good, third, d.dir+"/missing"))
	dial := []string{"dial", "tcp", d.to}
	d.expectOf(ok, d.client, d.good, dial...)
	d.expectOf(ok, d.client, third, dial...)
	d.expectOf(eperm, d.client, d.bad, dial...)
	d.put("WorkloadPolicy", workload(fmt.Sprintf(`egress: {allow: [
	  {to: [{podSelector: {}}], ports: [{port: 80}], processes: [{path: %s}]},
	  {to: [{podSelector: {}}], ports: [{protocol: UDP, port: 80}], processes: [{path: %s}]}]}`, d.good, d.bad)))
	d.expectOf(ok, d.client, d.good, dial...)
	d.expectOf(eperm, d.client, d.good, "dial", "udp", d.to)
	d.expectOf(eperm, d.client, d.bad, dial...)
	d.expectOf(ok, d.client, d.bad, "dial", "udp", d.to)
}

// TestProcessPolicyLater applies a policy to programs that run already.
func TestProcessPolicyLater(t *testing.T) {
	t.Parallel()
	d := newDuel(t)
	var kept, cut []*stream
	for _, network := range []string{"tcp", "udp"} {
		for _, to := range []string{d.to, d.to6} {
			kept = append(kept, d.stream(d.client, d.good, network, to))
			cut = append(cut, d.stream(d.client, d.bad, network, to, "--wait", "1s"))
		}
	}
	d.enforce()
	for _, s := range cut {
		s.cut()
	}
	for _, s := range kept {
		s.lossless()
	}
	d.expectOf(eperm, d.client, d.bad, "dial", "tcp", d.to)

	// The same without an agent, by the pins alone.
	s := d.stream(d.client, d.good, "tcp", d.to)
	d.kill9()
	d.expectOf(ok, d.client, d.good, "dial", "tcp", d.to)
	d.expectOf(eperm, d.client, d.bad, "dial", "tcp", d.to)
	d.start()
	d.expectOf(ok, d.client, d.good, "dial", "tcp", d.to)
	d.expectOf(eperm, d.client, d.bad, "dial", "tcp", d.to)
	s.lossless()
}

// TestProcessCgroups has the pod's cgroup come to be known in each way.
func TestProcessCgroups(t *testing.T) {
	for name, mode := range map[string]harness.CgroupMode{
		"given": harness.CgroupGiven, "found": harness.CgroupFound, "late": harness.CgroupLate,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDuel(t)
			d.client = d.add(harness.PodSpec{
				Namespace: "shop", Name: "client-" + name, Labels: map[string]string{"app": "client"}, Cgroup: mode})
			d.enforce()
			d.expectOf(ok, d.client, d.good, "dial", "tcp", d.to)
			d.expectOf(eperm, d.client, d.bad, "dial", "tcp", d.to)
			second := func(program string) *harness.Command {
				return d.client.CommandIn(t.Context(), "second", program, "dial", "udp", d.to6)
			}
			d.until("the second container is known", func() bool {
				o, err := end(second(d.good))
				return err == nil && o.status == ok
			})
			d.expectEnd(eperm, second(d.bad))
			if s := d.state(d.client); s.State != "enforced" || s.Policies == nil {
				t.Errorf("pod: %+v", s)
			}
		})
	}
}
