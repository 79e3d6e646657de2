// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// workload is a WorkloadPolicy's spec for the pod "client".
func workload(rest string) string {
	return "{podSelector: {matchLabels: {app: client}}, " + rest + "}"
}

// allowProcesses lets the programs reach every pod of the namespace.
func allowProcesses(paths ...string) string {
	list := ""
	for _, p := range paths {
		list += fmt.Sprintf("{path: %s},", p)
	}
	return workload(fmt.Sprintf("egress: {allow: [{to: [{podSelector: {}}], processes: [%s]}]}", list))
}

// TestDenyResponse wants EPERM from a WorkloadPolicy, silence from one that says
// Drop and from a NetworkPolicy, and nothing but a report from one in Audit mode.
func TestDenyResponse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "tcp", 80)
	w.serve(server, "udp", 80)
	four, six := at(server.IPv4(), 80), at(server.IPv6(), 80)
	mapped := at(netip.AddrFrom16(server.IPv4().As16()), 80)
	dial := []string{"dial", "tcp", four}
	attempt := func(what string, want int) {
		t.Helper()
		var tries []try
		for _, args := range [][]string{
			dial, {"dial", "tcp", six}, {"dial", "udp", four}, {"dial", "udp", six},
			{"dial", "udp", four, "--unconnected"}, {"dial", "udp", six, "--unconnected"},
			{"thread-dial", "tcp", mapped}, {"thread-dial", "udp", mapped},
			{"fastopen-dial", four}, {"fastopen-dial", six}, {"int80-dial", "tcp", four},
		} {
			tries = append(tries, try{want, args})
		}
		w.expectAll(what, client, tries)
		w.expect(want, client, "uring-dial", four)
	}
	attempt("no policy", ok)
	w.put("WorkloadPolicy", workload(`egress: {}`))
	attempt("isolated", eperm)
	below := []try{ // the socket hooks
		{silence, []string{"ping", server.IPv4().String()}},
		{silence, []string{"packet-send", "eth0", at(client.IPv4(), 777), four}},
	}
	w.expectAll("isolated", client, below)
	w.put("WorkloadPolicy", workload(`denyResponse: Drop, egress: {}`))
	attempt("isolated, Drop", silence)
	w.put("WorkloadPolicy", workload(`egress: {allow: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}`))
	attempt("allowed", ok)
	for i := range below {
		below[i].want = ok
	}
	w.expectAll("allowed", client, below)

	// Each of the two kinds must allow.
	w.putAs("NetworkPolicy", "where", `{podSelector: {}, policyTypes: [Egress]}`)
	w.expect(silence, client, dial...)
	w.put("WorkloadPolicy", workload(`egress: {}`))
	w.expect(eperm, client, dial...)
	w.putAs("NetworkPolicy", "where", `{podSelector: {}, policyTypes: [Egress], egress: [{}]}`)
	w.expect(eperm, client, dial...)
}

func TestAuditMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "tcp", 80)
	w.put("WorkloadPolicy", workload(`mode: Audit, egress: {}`))
	w.expect(ok, client, "dial", "tcp", at(server.IPv4(), 80))
	f := w.flow(client, "an audited flow", func(f *rpc.Flow) bool { return f.Verdict == "audit-denied" })
	if f.Reason != "default-deny" || f.Rule != nil || f.Direction != "egress" || f.Destination.Pod != "server" {
		t.Errorf("audited flow: %+v", f)
	}
	if s := w.state(client); s.State != "enforced" || cmp.Diff(s.Policies, []string{"WorkloadPolicy/shop/p"}) != "" {
		t.Errorf("pod: %+v", s)
	}
}

// TestReports checks what the agent tells of flows, events and pods.
func TestReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	dir := mustDir(t)
	good, bad := copyOf(t, dir, "good"), copyOf(t, dir, "bad")
	w.serve(server, "tcp", 80)
	w.put("WorkloadPolicy", workload(fmt.Sprintf(`egress: {allow: [
	  {to: [{podSelector: {}}], ports: [{port: 81}]},
	  {to: [{podSelector: {}}], ports: [{port: 80}], processes: [{path: %s}]}]}`, good)))
	w.putAs("NetworkPolicy", "in", `{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {}}]}]}`)
	to := at(server.IPv4(), 80)

	w.expectOf(ok, client, good, "dial", "tcp", to)
	f := w.flow(client, "the allowed flow", func(f *rpc.Flow) bool {
		return f.Direction == "egress" && f.Verdict == "allowed" && f.Source.Process != nil && f.Source.Process.Path != ""
	})
	diff(t, "egress flow", f, rpc.Flow{
		Pod: rpc.PodRef{Namespace: "shop", Name: "client"}, Direction: "egress", Verdict: "allowed", Reason: "policy",
		Protocol: "TCP", Rule: &rpc.Rule{Kind: "WorkloadPolicy", Namespace: "shop", Name: "p", Index: 1},
		Source:      rpc.Endpoint{Namespace: "shop", Pod: "client", IP: client.IPv4(), Process: &rpc.Process{Path: good, Container: "main"}},
		Destination: rpc.Endpoint{Namespace: "shop", Pod: "server", IP: server.IPv4(), Port: 80},
	})
	f = w.flow(server, "the flow at the server", func(f *rpc.Flow) bool {
		return f.Direction == "ingress" && f.Destination.Process != nil && f.Destination.Process.Path != ""
	})
	diff(t, "ingress flow", f, rpc.Flow{
		Pod: rpc.PodRef{Namespace: "shop", Name: "server"}, Direction: "ingress", Verdict: "allowed", Reason: "policy",
		Protocol: "TCP", Rule: &rpc.Rule{Kind: "NetworkPolicy", Namespace: "shop", Name: "in"},
		Source:      rpc.Endpoint{Namespace: "shop", Pod: "client", IP: client.IPv4()},
		Destination: rpc.Endpoint{Namespace: "shop", Pod: "server", IP: server.IPv4(), Port: 80, Process: &rpc.Process{Path: built.probe, Container: "server"}},
	})
	f = w.flow(client, "the end of the flow", func(f *rpc.Flow) bool { return f.Phase == "closed" && f.Protocol == "TCP" })
	if f.Forward.Packets < 3 || f.Reverse.Packets < 2 || f.Forward.Bytes == 0 || f.Reverse.Bytes == 0 {
		t.Errorf("closed flow: %+v", f)
	}

	w.expectOf(eperm, client, bad, "dial", "tcp", to)
	f = w.flow(client, "the denied flow", func(f *rpc.Flow) bool {
		return f.Verdict == "denied" && f.Source.Process != nil && f.Source.Process.Path != ""
	})
	if f.Phase != "denied" {
		t.Errorf("phase: %q", f.Phase)
	}
	diff(t, "denied flow", f, rpc.Flow{
		Pod: rpc.PodRef{Namespace: "shop", Name: "client"}, Direction: "egress", Verdict: "denied", Reason: "default-deny",
		Protocol:    "TCP",
		Source:      rpc.Endpoint{Namespace: "shop", Pod: "client", IP: client.IPv4(), Process: &rpc.Process{Path: bad, Container: "main"}},
		Destination: rpc.Endpoint{Namespace: "shop", Pod: "server", IP: server.IPv4(), Port: 80},
		DeniedBy:    []string{"WorkloadPolicy/shop/p"},
	})

	e := w.event(client, "the exec", func(e *rpc.Event) bool { return e.Type == "exec" && e.Process.Path == bad })
	if d := cmp.Diff([]string{bad, "dial", "tcp", to}, e.Process.Args); d != "" {
		t.Errorf("args (-want +got):\n%s", d)
	}
	e = w.event(client, "its exit", func(x *rpc.Event) bool {
		return x.Type == "exit" && x.Process.ExecID == e.Process.ExecID
	})
	if e.ExitCode == nil || *e.ExitCode != eperm || e.Outcome != "observed" {
		t.Errorf("exit: %+v", e)
	}
	s := w.state(client)
	want := rpc.Pod{Namespace: "shop", Name: "client", UID: client.Spec.UID, IPs: client.IPs, Cgroup: client.Cgroup,
		Labels: map[string]string{"app": "client"}, State: "enforced", Policies: []string{"WorkloadPolicy/shop/p"}}
	diff(t, "pod", s, want)
}

// diff compares what is stable: neither times, counters and ids nor the ports and
// processes that the kernel chose.
func diff[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	ignore := cmp.FilterPath(func(p cmp.Path) bool {
		switch p.String() {
		case "ID", "Time", "StartTime", "Phase", "Forward", "Reverse", "Source.Port":
			return true
		}
		f, ok := p.Last().(cmp.StructField)
		return ok && slices.Contains([]string{"PID", "ParentPID", "ExecID", "ParentExecID"}, f.Name())
	}, cmp.Ignore())
	comparers := cmp.Comparer(func(a, b fmt.Stringer) bool { return a.String() == b.String() })
	if d := cmp.Diff(want, got, ignore, comparers); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
