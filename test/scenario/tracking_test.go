// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// onNode runs a command in the node's network namespace.
func (w *world) onNode(cmd ...string) {
	w.Helper()
	if out, err := w.node.Command(w.Context(), cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
		w.Fatalf("%v: %v: %s", cmd, err, out)
	}
}

// serveOnNode starts an echo server on the node itself.
func (w *world) serveOnNode(network, at string) {
	w.Helper()
	cmd := w.node.Command(context.WithoutCancel(w.Context()), built.probe, "serve", network, at)
	lines := w.begin(cmd)
	w.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line := <-lines; line != "ready" {
		w.Fatalf("server did not start: %q", line)
	}
}

// TestNotTracked: what the door left to the later point, and connection tracking
// leaves alone, goes nowhere: a Service's address that the node bears itself, as a
// DNS cache on each node does.
func TestNotTracked(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newServices(t, cfg, false)
			for _, front := range []netip.Addr{clusterIP4, clusterIP6} {
				s.onNode("ip", "addr", "add", netip.PrefixFrom(front, front.BitLen()).String(), "dev", "lo", "nodad")
				tool := "iptables"
				if front.Is6() {
					tool = "ip6tables"
				}
				for _, network := range []string{"tcp", "udp"} {
					s.serveOnNode(network, at(front, 8000))
					for chain, side := range map[string][2]string{"PREROUTING": {"-d", "--dport"}, "OUTPUT": {"-s", "--sport"}} {
						s.onNode(tool, "-w", "-t", "raw", "-A", chain, "-p", network, side[0], front.String(), side[1], "8000", "-j", "CT", "--notrack")
					}
				}
			}
			s.until("the node has the route to its address", func() bool {
				o, err := endAs(silence, s.command(s.client, built.probe, "dial", "udp", at(clusterIP6, 8000)))
				return err == nil && o.status == ok
			})
			s.expectEach("no policy", ok, s.client)
			s.put("NetworkPolicy", toGood)
			s.expectEach("untracked", silence, s.client)
			s.remove("NetworkPolicy")
			s.expectEach("no policy again", ok, s.client)
		})
	}
}

// TestLateAnswer: an answer that comes when the door has forgotten the question is a
// flow of its own. That connection tracking still knows it, and hides the pod behind
// the node, does not make the pod its client.
func TestLateAnswer(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cfg)
			w.configure("timeouts: {udp: {halfOpen: 1s, open: 1s}}")
			server, client := w.pod("server"), w.pod("client")
			w.serve(server, "udp", 80)
			late := w.keep(server, built.probe, "serve", "udp", at(server.IPv4(), 81), "--after", "2s")
			late.await("ready")
			w.onNode("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-p", "udp", "--dport", "80:81", "-j", "MASQUERADE")
			dial := []string{"dial", "udp", at(server.IPv4(), 81), "--timeout", "5s"}
			w.expect(ok, client, dial...)
			w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`)
			w.expect(ok, client, "dial", "udp", at(server.IPv4(), 80))
			w.expect(silence, client, dial...)
		})
	}
}

// hostSide is the node's end of the pod's interface.
func (w *world) hostSide(p *harness.Pod) string {
	w.Helper()
	for _, i := range p.Result.Interfaces {
		if i.Sandbox == "" && strings.HasPrefix(i.Name, "veth") {
			return i.Name
		}
	}
	w.Fatal("the pod has no interface on the node")
	return ""
}

// TestRefragmented: with connection tracking the node puts datagrams together and
// splits them again, into frames of its own where a bridge sends them to several
// ports, or where the next link takes less. That does not make them the node's.
func TestRefragmented(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cfg)
			w.pod("bystander")
			server, client := w.pod("server"), w.pod("client")
			w.serve(server, "udp", 80)
			for _, tool := range []string{"iptables", "ip6tables"} {
				w.onNode(tool, "-w", "-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
			}
			if cfg.PTP {
				w.onNode("ip", "link", "set", w.hostSide(server), "mtu", "1300")
				w.must(server, "ip", "link", "set", "eth0", "mtu", "1300")
			} else {
				w.onNode("ip", "link", "set", w.hostSide(server), "type", "bridge_slave", "learning", "off", "fdb_flush")
			}
			datagrams := func(want int) (out []try) {
				for _, ip := range []netip.Addr{server.IPv4(), server.IPv6()} {
					for _, size := range []string{"3000", "8000"} {
						if ip.Is4() || !cfg.PTP { // IPv6 has the sender split them anew
							out = append(out, try{want, []string{"dial", "udp", at(ip, 80), "--size", size}})
						}
					}
				}
				return out
			}
			w.expectAll("no policy", client, datagrams(ok))
			w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`)
			w.expectAll("allowed", client, datagrams(ok))
			w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}`)
			w.expectAll("isolated", client, datagrams(silence))
		})
	}
}

// TestNeighbourOfForeignAddress: a pod does not answer for an address that is not its
// own, be it a Service's or another pod's: neither its neighbours nor the node learn
// a hardware address from it.
func TestNeighbourOfForeignAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	liar, gone, client := w.pod("liar"), w.pod("gone"), w.pod("client")
	foreign := []string{clusterIP6.String(), gone.IPv6().String()}
	w.must(gone, "ip", "link", "set", "eth0", "down") // it cannot answer for itself
	w.must(client, "ip", "route", "add", clusterIP6.String()+"/128", "dev", "eth0")
	w.onNode("ip", "route", "add", clusterIP6.String()+"/128", "dev", "cni0")
	for _, a := range foreign {
		w.must(liar, "ip", "addr", "add", a+"/128", "dev", "eth0", "nodad")
		show := []string{"-6", "neigh", "show", a}
		for who, on := range map[string]func(string, ...string) *harness.Command{
			"a pod":    func(cmd string, args ...string) *harness.Command { return w.command(client, cmd, args...) },
			"the node": func(cmd string, args ...string) *harness.Command { return w.node.Command(t.Context(), cmd, args...) },
		} {
			w.expectEnd(silence, on(built.probe, "ping", a))
			if said, err := on("ip", show...).Output(); err != nil || len(said) == 0 || strings.Contains(string(said), "lladdr") {
				t.Errorf("%s has learnt who is %s: %q %v", who, a, said, err)
			}
		}
	}
	w.putCluster("ClusterWorkloadPolicy", "vip",
		`spec: {podSelector: {matchLabels: {app: liar}}, allowedSources: ["`+strings.Join(foreign, `/128", "`)+`/128"]}`)
	for _, a := range foreign {
		w.expect(ok, client, "ping", a)
		w.expectEnd(ok, w.node.Command(t.Context(), built.probe, "ping", a))
	}
}
