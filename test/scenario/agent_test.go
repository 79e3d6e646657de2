// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// traffic is a shop with a server that only the client may reach, and streams
// between the two over both protocols and families.
type traffic struct {
	*world
	server, client, other *harness.Pod
	to                    string
	streams               []*stream
}

const clientOnly = `{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`

func newTraffic(t *testing.T, cfg harness.Config) *traffic {
	t.Helper()
	w := newWorld(t, cfg)
	s := &traffic{world: w, server: w.pod("server"), client: w.pod("client"), other: w.pod("other")}
	s.to = at(s.server.IPv4(), 80)
	w.serve(s.server, "tcp", 80)
	w.serve(s.server, "udp", 80)
	w.put("NetworkPolicy", clientOnly)
	for _, network := range []string{"tcp", "udp"} {
		s.streams = append(s.streams,
			w.stream(s.client, built.probe, network, s.to),
			w.stream(s.client, built.probe, network, at(s.server.IPv6(), 80)))
	}
	s.holds()
	return s
}

// holds checks that the policy is in force for new connections.
func (s *traffic) holds() {
	s.Helper()
	s.expect(ok, s.client, "dial", "tcp", s.to)
	s.expect(silence, s.other, "dial", "tcp", s.to)
	s.expect(silence, s.other, "dial", "udp", at(s.server.IPv6(), 80))
}

func (s *traffic) lossless() {
	s.Helper()
	for _, stream := range s.streams {
		stream.lossless()
	}
}

// TestAgentKilled kills the agent under traffic: nothing is lost and nothing opens;
// a pod that comes meanwhile is closed until an agent is there.
func TestAgentKilled(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newTraffic(t, cfg)
			s.kill9()
			s.holds()
			late := s.add(harness.PodSpec{Namespace: "shop", Name: "late", Labels: map[string]string{"app": "client"}})
			s.serve(late, "tcp", 80)
			s.expect(silence, late, "dial", "tcp", s.to)
			s.expect(silence, s.other, "dial", "tcp", at(late.IPv4(), 80))
			s.expect(silence, s.other, "ping", late.IPv6().String())
			s.expect(ok, late, "dial", "tcp", "127.0.0.1:80")
			s.start()
			s.until("the new pod is enforced", func() bool { return s.state(late).State == "enforced" })
			s.expect(ok, late, "dial", "tcp", s.to)
			s.expect(ok, s.other, "dial", "tcp", at(late.IPv4(), 80))
			s.holds()
			s.lossless()
		})
	}
}

// TestAgentRestarted ends and starts the agent, in both ways, several times.
func TestAgentRestarted(t *testing.T) {
	t.Parallel()
	s := newTraffic(t, harness.Config{})
	for range 2 {
		if err := s.agent.Terminate(); err != nil {
			t.Fatal(err)
		}
		s.holds()
		s.start()
		s.holds()
		s.kill9()
		s.start()
		s.holds()
	}
	// What was PUT outlives the agents.
	if _, err := s.node.Client().Get(t.Context(), "NetworkPolicy", "shop", "p"); err != nil {
		t.Error(err)
	}
	if p := s.state(s.server); p.State != "enforced" || len(p.Policies) != 1 {
		t.Errorf("server after restarts: %+v", p)
	}
	s.lossless()
}

// TestUninstall removes everything under traffic.
func TestUninstall(t *testing.T) {
	t.Parallel()
	s := newTraffic(t, harness.Config{})
	uninstall := func() error {
		return s.node.Command(t.Context(), built.agent, "uninstall", "--socket", s.node.Socket,
			"--bpffs", s.node.Bpffs, "--state-dir", s.node.StateDir).Run()
	}
	if err := uninstall(); err == nil {
		t.Error("uninstall beside a running agent succeeded")
	}
	s.holds()
	if err := s.agent.Terminate(); err != nil {
		t.Fatal(err)
	}
	s.holds()
	if err := uninstall(); err != nil {
		t.Fatal(err)
	}
	s.expect(ok, s.other, "dial", "tcp", s.to)
	s.lossless()
	for _, dir := range []string{s.node.Bpffs, s.node.StateDir} {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	if exists(t, s.node.Socket) {
		t.Error("the socket is left behind")
	}
	if err := os.MkdirAll(s.node.StateDir, 0o755); err != nil { // so that DEL is as usual
		t.Fatal(err)
	}
	if err := s.node.DelPod(t.Context(), s.other); err != nil {
		t.Error(err)
	}
}
