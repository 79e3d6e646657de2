// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
)

// testIdentity: what is shown of pods, flows and processes.
func (s *suite) testIdentity(t *testing.T, namespace string) {
	web := s.newPod(t, namespace, "web", nil)
	web.mustStart(t, "server", serve)
	client := s.newPod(t, namespace, "client", map[string]string{"app": "client"})
	first := client.mustStart(t, "first", pause)
	second := client.mustStart(t, "second", pause)
	wantOpen(t, first, "/app/alpha", web.ip+":7000")
	wantOpen(t, second, "/app/alpha", web.ip+":7000")
	s.wantPod(t, web)
	s.wantPod(t, client)
	out, err := s.node.Command(t.Context(), s.program, "get", "pods", "--socket", s.node.Socket).CombinedOutput()
	if err != nil || !strings.Contains(string(out), namespace) || !strings.Contains(string(out), client.ip) {
		t.Errorf("sluice get pods: %v\n%s", err, out)
	}
	client.wantFlow(t, "egress", func(f rpc.Flow) bool {
		return f.Verdict == "allowed" && f.Destination.Pod == "web" && f.Destination.Port == 7000 &&
			f.Source.Process != nil && f.Source.Process.Path == "/app/alpha"
	})
	web.wantFlow(t, "ingress", func(f rpc.Flow) bool {
		return f.Verdict == "allowed" && f.Source.Pod == "client" && f.Source.Namespace == namespace &&
			f.Destination.Process != nil && f.Destination.Process.Path == "/app/beta"
	})
	eventually(t, "events of two containers and two execs", func() error { return s.wantEvents(t, client) })
}

func (s *suite) wantPod(t *testing.T, p *pod) {
	t.Helper()
	pods, err := s.node.Client().Pods(t.Context())
	check(t, err)
	i := slices.IndexFunc(pods, func(q rpc.Pod) bool { return q.Namespace == p.namespace && q.Name == p.name })
	if i < 0 {
		t.Fatalf("pod %s is not shown: %+v", p.name, pods)
	}
	got := pods[i]
	if got.UID != p.uid || got.State != "enforced" || !slices.Contains(got.IPs, netip.MustParseAddr(p.ip)) ||
		s.cgroupGiven && !strings.HasSuffix(got.Cgroup, "/pod"+p.uid) {
		t.Errorf("pod %s with uid %s and address %s is shown as %+v", p.name, p.uid, p.ip, got)
	}
}

// wantEvents asks for the execs of both containers and of a program in each.
func (s *suite) wantEvents(t *testing.T, p *pod) error {
	sleep, dial := 0, 0
	for _, e := range p.events(t, "exec") {
		if e.Process.Path == "/app/alpha" && len(e.Process.Args) > 1 && e.Process.ExecID != "" {
			switch e.Process.Args[1] {
			case "sleep":
				sleep++
			case "dial":
				dial++
			}
		}
	}
	exits := 0
	for _, e := range p.events(t, "exit") {
		if e.Process.Path == "/app/alpha" && e.ExitCode != nil && *e.ExitCode == 0 {
			exits++
		}
	}
	// The sandbox has a sleep of its own; whether it is seen depends on the mode.
	if sleep < 2 || dial < 2 || exits < 2 {
		return errors.New("not all of them are there")
	}
	return nil
}

// wantFlow waits for a flow that the pod sees.
func (p *pod) wantFlow(t *testing.T, direction string, match func(rpc.Flow) bool) {
	t.Helper()
	eventually(t, direction+" flow of pod "+p.name, func() error {
		var seen []rpc.Flow
		err := p.s.node.Client().Flows(t.Context(), rpc.Query{Pod: p.namespace + "/" + p.name},
			func(f rpc.Flow) error { seen = append(seen, f); return nil }, nil)
		if err == nil && !slices.ContainsFunc(seen, func(f rpc.Flow) bool {
			return f.Pod.Name == p.name && f.Direction == direction && match(f)
		}) {
			return fmt.Errorf("not among %s", lines(seen))
		}
		return err
	})
}

// lines prints each as the API does.
func lines[T any](all []T) string {
	var out strings.Builder
	for _, x := range all {
		b, _ := json.Marshal(x)
		fmt.Fprintf(&out, "\n%s", b)
	}
	return out.String()
}
