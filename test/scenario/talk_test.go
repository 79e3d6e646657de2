// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// talk is a connection whose ends both speak, each for itself, so that it shows in
// which direction something passes.
type talk struct{ client, server *stream }

// talk starts one through a front that leads to an address of the server, and
// returns when both ends have heard each other.
func (w *world) talk(client, server *harness.Pod, network, front, to string) *talk {
	w.Helper()
	t := &talk{server: w.keep(server, built.probe, "chat", network, to, "--listen")}
	t.server.await("listening")
	t.client = w.keep(client, built.probe, "chat", network, front)
	t.client.await("ready")
	t.server.await("ready")
	return t
}

// mute waits until nothing is heard any more, at either end.
func (t *talk) mute() {
	t.client.w.Helper()
	t.client.mute()
	t.server.mute()
}

// mute waits until an end of a talk has heard nothing for twice the time that it
// calls a loss.
func (s *stream) mute() {
	s.w.Helper()
	for last := ""; ; {
		line := s.next()
		if line == "lost" && last == "lost" {
			return
		}
		last = line
	}
}

// services like newServices, where only talks are served.
func newTalks(t *testing.T, cfg harness.Config) *services {
	t.Helper()
	w := newWorld(t, cfg)
	return &services{world: w, good: w.pod("good"), bad: w.pod("bad"), client: w.pod("client")}
}

// TestServiceFallsMute: a connection through a Service whose backend is denied from
// now on is cut in both directions, also where the backend alone goes on to speak.
func TestServiceFallsMute(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newTalks(t, cfg)
			s.putAs("Service", "front", `{clusterIPs: ["`+clusterIP4.String()+`", "`+clusterIP6.String()+`"], ports: [{port: 8000, targetPort: 80}]}`)
			s.put("NetworkPolicy", toGood)
			another := s.add(harness.PodSpec{Namespace: "shop", Name: "another", Labels: map[string]string{"app": "good"}})
			var talks []*talk
			var hearers []*stream
			for _, front := range []netip.Addr{clusterIP4, clusterIP6} {
				s.leads("udp", netip.AddrPortFrom(front, 8001), ip(another, front), false)
				s.keep(another, built.probe, "chat", "udp", at(ip(another, front), 80), "--listen").await("listening")
				hearer := s.keep(s.client, built.probe, "chat", "udp", at(front, 8001), "--quiet")
				hearer.await("ready")
				hearers = append(hearers, hearer)
				for _, network := range []string{"tcp", "udp"} {
					s.leads(network, netip.AddrPortFrom(front, 8000), ip(s.good, front), false)
					talks = append(talks, s.talk(s.client, s.good, network, at(front, 8000), at(ip(s.good, front), 80)))
				}
			}
			s.put("NetworkPolicy", toBad)
			for _, talk := range talks {
				talk.mute()
			}
			for _, hearer := range hearers {
				hearer.mute()
			}
		})
	}
}

// TestMasqueradedClientIsCut: a connection whose client is hidden behind the node is
// judged anew by its client, also when the pod's own frame comes first: only the pod
// speaks here, and the node's address is allowed.
func TestMasqueradedClientIsCut(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newTalks(t, cfg)
			gateway := s.gateway()
			s.leads("udp", netip.AddrPortFrom(gateway, 30080), s.good.IPv4(), true)
			from := func(peer string) {
				s.put("NetworkPolicy", `{podSelector: {matchLabels: {app: good}}, ingress: [{from: [`+peer+`]}]}`)
			}
			node := `{ipBlock: {cidr: ` + gateway.String() + `/32}}`
			from(`{podSelector: {matchLabels: {app: client}}}`)
			s.keep(s.good, built.probe, "chat", "udp", at(s.good.IPv4(), 80), "--listen").await("listening")
			client := s.keep(s.client, built.probe, "chat", "udp", at(gateway, 30080), "--quiet")
			client.await("ready")
			from(node)
			client.mute()
			s.expect(silence, s.client, "dial", "udp", at(gateway, 30080))
		})
	}
}

// TestServiceBackendIsReplaced: what a backend was allowed does not pass to the next
// pod with its address, neither for a client that goes on nor for one that waited.
func TestServiceBackendIsReplaced(t *testing.T) {
	for _, established := range []string{"Recheck", "Keep"} {
		t.Run(established, func(t *testing.T) {
			t.Parallel()
			s := newTalks(t, harness.Config{PTP: true})
			s.configure("establishedConnections: " + established)
			front := netip.AddrPortFrom(clusterIP4, 8000)
			s.putAs("Service", "front", `{clusterIP: `+clusterIP4.String()+`, ports: [{port: 8000, targetPort: 80}]}`)
			s.leads("udp", front, s.good.IPv4(), false)
			s.put("NetworkPolicy", toGood)
			s.serve(s.good, "udp", 80)
			through := []string{"dial", "udp", front.String(), "--from-port", "4001"}
			direct := []string{"dial", "udp", at(s.good.IPv4(), 80), "--from-port", "4002"}
			s.expect(ok, s.client, through...)
			s.expect(ok, s.client, direct...)
			s.stream(s.client, built.probe, "udp", front.String(), "--wait", "100ms")
			s.stream(s.client, built.probe, "udp", at(s.good.IPv4(), 80), "--wait", "100ms")
			if err := s.node.DelPod(t.Context(), s.good); err != nil {
				t.Fatal(err)
			}
			next := s.add(harness.PodSpec{Namespace: "shop", Name: "next", IP: s.good.IPv4(), Labels: map[string]string{"app": "next"}})
			if next.IPv4() != s.good.IPv4() {
				t.Fatalf("the next pod has %v, want %v", next.IPv4(), s.good.IPv4())
			}
			heard := s.keep(next, built.probe, "chat", "udp", at(next.IPv4(), 80), "--listen")
			heard.await("listening")
			s.expect(ok, s.bad, "dial", "udp", front.String()) // nothing isolates it
			heard.await("ready")
			heard.await("lost")
			s.expect(silence, s.client, through...)
			s.expect(silence, s.client, direct...)
			if line := heard.next(); line != "lost" {
				t.Errorf("the next pod heard the client: %q", line)
			}
		})
	}
}

// TestServiceKeep has connections through a Service outlive a change of rules.
func TestServiceKeep(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newServices(t, cfg, false)
			s.configure("establishedConnections: Keep")
			s.put("NetworkPolicy", toGood)
			var streams []*stream
			for _, front := range []netip.Addr{clusterIP4, clusterIP6} {
				for _, network := range []string{"tcp", "udp"} {
					s.leads(network, netip.AddrPortFrom(front, 8000), ip(s.good, front), false)
					streams = append(streams, s.stream(s.client, built.probe, network, at(front, 8000)))
				}
			}
			s.put("NetworkPolicy", toBad)
			s.expect(silence, s.client, "dial", "tcp", at(clusterIP4, 8000))
			s.expect(silence, s.client, "dial", "udp", at(clusterIP6, 8000))
			for _, stream := range streams {
				stream.lossless()
			}
		})
	}
}
