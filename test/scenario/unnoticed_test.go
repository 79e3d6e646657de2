// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// TestUnnoticed: a process cannot tell that it is watched. What one sees that every kind
// of rule is about is what another sees on a node that has nothing of Sluice.
func TestUnnoticed(t *testing.T) {
	t.Parallel()
	program := copyOf(t, mustDir(t), "program")
	bare, gated := newNode(t, harness.Config{Bare: true}), newWorld(t, harness.Config{})
	var seen [2][]string
	for i, w := range []*world{bare, gated} {
		server, client := w.pod("server"), w.pod("client")
		w.serve(server, "tcp", 80)
		w.serve(server, "udp", 80)
		if w == gated {
			w.putAs("NetworkPolicy", "net", `{podSelector: {matchLabels: {app: client}}, ingress: [{}], egress: [{to: [{podSelector: {}}]}]}`)
			w.put("WorkloadPolicy", workload(`fallback: Kill, `+execs("Deny", entry(program))+`,
			  egress: {allow: [{to: [{podSelector: {}}], ports: [{port: 80}, {protocol: UDP, port: 80}], processes: [`+entry(program)+`]}]},
			  files: {rules: [{paths: [/etc/shadow], operations: [Read], action: Deny}]},
			  capabilities: {action: Audit}, `+killGains))
		}
		seen[i] = w.look(client, program, at(server.IPv4(), 80))
	}
	gated.watched(program)
	if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
		t.Errorf("what a process sees without Sluice (-) and with it (+):\n%s", diff)
	}
}

// watched waits for what is told of a program in the client: it was seen, and named.
func (w *world) watched(program string) {
	w.Helper()
	client := &harness.Pod{Spec: harness.PodSpec{Namespace: "shop", Name: "client"}}
	w.event(client, "its exec", func(e *rpc.Event) bool { return e.Type == "exec" && e.Process.Path == program })
	w.event(client, "its uses of capabilities", func(e *rpc.Event) bool { return e.Type == "capability" && e.Process.Path == program })
	w.flow(client, "its connection", func(f *rpc.Flow) bool {
		return f.Verdict == "allowed" && f.Source.Process != nil && f.Source.Process.Path == program
	})
}

// linkLocal are addresses that the kernel draws, nodeMount what harness mounts for a node:
// its pods have no mount namespace of their own.
var linkLocal, nodeMount = regexp.MustCompile(`fe80::[0-9a-f:]+`), regexp.MustCompile(`^mount .*/(NODE|sluice-)`)

// look is what a process in a pod sees, line by line, less what names the pod.
func (w *world) look(p *harness.Pod, program, server string) []string {
	w.Helper()
	cmd := w.command(p, program, "look", server)
	cmd.Env = []string{"PATH=/usr/bin"} // shown where it differs
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		w.Fatalf("look: %v: %s", err, errs.String())
	}
	own := strings.NewReplacer(filepath.Base(w.node.Root), "NODE", p.Spec.UID, "UID", p.IPv4().String(), "IPV4", p.IPv6().String(), "IPV6")
	var seen []string
	for line := range strings.Lines(out.String()) {
		if line = linkLocal.ReplaceAllString(own.Replace(line), "fe80::"); !nodeMount.MatchString(line) {
			seen = append(seen, line)
		}
	}
	slices.Sort(seen)
	return seen
}
