// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// services is a node with two servers, only one of which a client may reach, and
// Services in front of them.
type services struct {
	*world
	good, bad, client *harness.Pod
	nft               bool
}

var (
	clusterIP4 = netip.MustParseAddr("10.96.0.10")
	clusterIP6 = netip.MustParseAddr("fd00:96::10")
	unheardOf  = netip.MustParseAddr("10.96.0.99") // of no Service object
)

// toGood allows pods of shop to reach good's port 80 alone.
const toGood = `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
	egress: [{to: [{podSelector: {matchLabels: {app: good}}}], ports: [{port: 80}, {protocol: UDP, port: 80}]}]}`

// toBad is the same for bad.
var toBad = strings.Replace(toGood, "app: good", "app: bad", 1)

func newServices(t *testing.T, cfg harness.Config, nft bool) *services {
	t.Helper()
	if _, err := exec.LookPath("nft"); nft && err != nil {
		skip(t, err.Error())
	}
	w := newWorld(t, cfg)
	s := &services{world: w, good: w.pod("good"), bad: w.pod("bad"), client: w.pod("client"), nft: nft}
	for _, p := range []*harness.Pod{s.good, s.bad} {
		w.serve(p, "tcp", 80)
		w.serve(p, "udp", 80)
	}
	w.putAs("Service", "front", fmt.Sprintf(`{clusterIPs: ["%s", "%s"],
		ports: [{port: 8000, targetPort: 80, nodePort: 30080}]}`, clusterIP4, clusterIP6))
	return s
}

// leads makes an address and port lead to a pod.
func (s *services) leads(network string, from netip.AddrPort, to netip.Addr, masquerade bool) {
	s.Helper()
	err := s.node.AddDNAT(s.Context(), harness.DNAT{
		Protocol: network, From: from, To: netip.AddrPortFrom(to, 80), Masquerade: masquerade, NFT: s.nft})
	if err != nil {
		s.Fatal(err)
	}
}

// ip is the pod's address of the same family.
func ip(p *harness.Pod, like netip.Addr) netip.Addr {
	if like.Is4() {
		return p.IPv4()
	}
	return p.IPv6()
}

// TestServices judges what goes to a Service by the backend that is chosen for it.
func TestServices(t *testing.T) {
	for topology, cfg := range topologies {
		for _, proxy := range []string{"iptables", "nft"} {
			t.Run(topology+"/"+proxy, func(t *testing.T) {
				t.Parallel()
				s := newServices(t, cfg, proxy == "nft")
				for _, front := range []netip.Addr{clusterIP4, clusterIP6} {
					s.leads("tcp", netip.AddrPortFrom(front, 8000), ip(s.good, front), false)
					s.leads("udp", netip.AddrPortFrom(front, 8000), ip(s.good, front), false)
					s.leads("tcp", netip.AddrPortFrom(front, 8001), ip(s.bad, front), false)
					s.leads("udp", netip.AddrPortFrom(front, 8001), ip(s.bad, front), false)
				}
				s.leads("tcp", netip.AddrPortFrom(unheardOf, 8000), s.good.IPv4(), false)
				s.leads("tcp", netip.AddrPortFrom(unheardOf, 8001), s.bad.IPv4(), false)
				s.run("no policy", func(w *world) { s.on(w).expectFronts(ok, ok) })
				s.run("egress", func(w *world) { s.on(w).testEgress() })
				s.run("what the door allows", func(w *world) { s.on(w).testAllowedAddress() })
			})
		}
	}
}

func (s *services) on(w *world) *services {
	copied := *s
	copied.world = w
	return &copied
}

// expectFronts dials both families' fronts of good and of bad.
func (s *services) expectFronts(good, bad int) {
	s.Helper()
	var tries []try
	for _, front := range []netip.Addr{clusterIP4, clusterIP6} {
		for _, network := range []string{"tcp", "udp"} {
			tries = append(tries, try{good, []string{"dial", network, at(front, 8000)}},
				try{bad, []string{"dial", network, at(front, 8001)}})
		}
	}
	s.expectAll("through a Service", s.client, tries)
}

func (s *services) testEgress() {
	s.put("NetworkPolicy", toGood)
	s.expectFronts(ok, silence)
	s.expect(silence, s.client, "dial", "tcp", at(unheardOf, 8000)) // never waved through
	s.expect(silence, s.client, "dial", "tcp", at(clusterIP4, 9))   // leads nowhere
	s.flow(s.client, "an allowed flow with its backend", func(f *rpc.Flow) bool {
		return f.Verdict == "allowed" && f.Destination.IP == clusterIP4 && f.Backend != nil &&
			f.Backend.Pod == "good" && f.Backend.Port == 80 && f.Rule != nil && f.Rule.Name == "p"
	})
	s.flow(s.client, "a denied flow with its backend", func(f *rpc.Flow) bool {
		return f.Verdict == "denied" && f.Backend != nil && f.Backend.Pod == "bad"
	})
	// The connection follows the rules, not only the door's.
	stream := s.stream(s.client, built.probe, "tcp", at(clusterIP4, 8000), "--wait", "1s")
	s.put("NetworkPolicy", toBad)
	stream.cut()
	s.expectFronts(silence, ok)
	s.kill9()
	s.expectFronts(silence, ok)
	s.start()
	s.remove("NetworkPolicy")
}

// testAllowedAddress has the Service's own address allowed: that is not its backend.
func (s *services) testAllowedAddress() {
	s.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{ipBlock: {cidr: 10.96.0.0/16}}, {ipBlock: {cidr: "fd00:96::/64"}}]}]}`)
	s.expectFronts(silence, silence)
	s.expect(silence, s.client, "dial", "tcp", at(unheardOf, 8000))
	s.remove("NetworkPolicy")
}

// TestServiceDetours are other ways to a Service: a node port, a backend that is the
// node itself, the pod itself, and clients that are hidden behind the node.
func TestServiceDetours(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newServices(t, cfg, false)
			gateway := s.gateway()
			s.leads("tcp", netip.AddrPortFrom(gateway, 30080), s.good.IPv4(), true)
			s.leads("tcp", netip.AddrPortFrom(clusterIP4, 8000), s.client.IPv4(), true) // hairpin
			s.serve(s.client, "tcp", 80)
			s.put("NetworkPolicy", toGood)
			s.expect(ok, s.client, "dial", "tcp", at(gateway, 30080))
			s.expect(silence, s.client, "dial", "tcp", at(clusterIP4, 8000))
			s.put("NetworkPolicy", strings.Replace(toGood, "app: good", "app: client", 1))
			s.expect(silence, s.client, "dial", "tcp", at(gateway, 30080))
			s.expect(ok, s.client, "dial", "tcp", at(clusterIP4, 8000))
			s.remove("NetworkPolicy")

			// Masqueraded: the server's door sees the client, not the node.
			s.put("NetworkPolicy", `{podSelector: {matchLabels: {app: good}}, policyTypes: [Ingress],
				ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`)
			s.expect(ok, s.client, "dial", "tcp", at(gateway, 30080))
			s.expect(silence, s.bad, "dial", "tcp", at(gateway, 30080))
		})
	}
}

// TestServiceOfNode has a Service whose backend is a program of the node itself.
func TestServiceOfNode(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newServices(t, cfg, false)
			gateway := s.gateway()
			s.serveOnNode("tcp", at(gateway, 80))
			s.leads("tcp", netip.AddrPortFrom(clusterIP4, 8000), gateway, false)
			s.put("NetworkPolicy", toGood)
			s.expect(silence, s.client, "dial", "tcp", at(clusterIP4, 8000))
			s.put("NetworkPolicy", fmt.Sprintf(`{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
				egress: [{to: [{ipBlock: {cidr: %s/32}}], ports: [{port: 80}]}]}`, gateway))
			s.expect(ok, s.client, "dial", "tcp", at(clusterIP4, 8000))
		})
	}
}

// TestServiceChangesBackend: a verdict holds for a backend, not for a flow.
func TestServiceChangesBackend(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newServices(t, cfg, false)
			front := netip.AddrPortFrom(clusterIP4, 8000)
			s.leads("udp", front, s.good.IPv4(), false)
			s.put("NetworkPolicy", toGood)
			stream := s.stream(s.client, built.probe, "udp", front.String(), "--wait", "1s")
			if err := s.node.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.leads("udp", front, s.bad.IPv4(), false)
			stream.cut()
			s.expect(silence, s.client, "dial", "udp", front.String())
		})
	}
}

// TestServiceByProcess lets one program out through a Service, and not another.
func TestServiceByProcess(t *testing.T) {
	t.Parallel()
	s := newServices(t, harness.Config{}, false)
	dir := mustDir(t)
	good, bad := copyOf(t, dir, "good"), copyOf(t, dir, "bad")
	for _, network := range []string{"tcp", "udp"} {
		s.leads(network, netip.AddrPortFrom(clusterIP4, 8000), s.good.IPv4(), false)
	}
	s.put("WorkloadPolicy", allowProcesses(good))
	for _, network := range []string{"tcp", "udp"} {
		dial := []string{"dial", network, at(clusterIP4, 8000)}
		s.expectOf(ok, s.client, good, dial...)
		s.expectOf(silence, s.client, bad, dial...) // the socket cannot know the backend
	}
	s.expectOf(silence, s.client, good, "inherit", bad, "tcp", at(clusterIP4, 8000))
	s.expectOf(ok, s.client, good, "inherit", good, "tcp", at(clusterIP4, 8000))
	s.configure("establishedConnections: Keep") // whatever rules say, not whoever speaks
	for _, to := range []string{at(clusterIP4, 8000), at(s.good.IPv4(), 80)} {
		s.expectOf(silence, s.client, good, "inherit", bad, "tcp", to)
		s.expectOf(ok, s.client, good, "inherit", good, "tcp", to)
	}
}

// TestHostPort reaches a pod by a port of the node, through the portmap plugin.
func TestHostPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{Portmap: true})
	client := w.pod("client")
	server := w.add(harness.PodSpec{Namespace: "shop", Name: "server", Labels: map[string]string{"app": "server"},
		Ports: []harness.PortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}})
	w.serve(server, "tcp", 80)
	s := &services{world: w, client: client}
	dial := []string{"dial", "tcp", at(s.gateway(), 8080)}
	w.expect(ok, client, dial...)
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [`+server.IPv4().String()+`/32]}}]}]}`)
	w.expect(silence, client, dial...) // the address of the node is allowed, the pod behind it is not
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`)
	w.expect(ok, client, dial...)
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: other}}}]}]}`)
	w.expect(silence, client, dial...)
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`)
	w.expect(ok, client, dial...)
}

// gateway is the node's own address towards the pods.
func (s *services) gateway() netip.Addr {
	s.Helper()
	out, err := s.client.Command(s.Context(), "ip", "-4", "route", "show", "default").Output()
	if err != nil {
		s.Fatal(err)
	}
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		s.Fatalf("no default route: %q", out)
	}
	a, err := netip.ParseAddr(fields[2])
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// TestServicesNotFollowed: without the point after DNAT nothing is deferred.
func TestServicesNotFollowed(t *testing.T) {
	t.Parallel()
	s := newServices(t, harness.Config{PTP: true}, false)
	s.leads("tcp", netip.AddrPortFrom(clusterIP4, 8000), s.good.IPv4(), false)
	s.leads("udp", netip.AddrPortFrom(clusterIP4, 8001), s.bad.IPv4(), false)
	s.put("NetworkPolicy", toGood)
	s.expect(ok, s.client, "dial", "tcp", at(clusterIP4, 8000))
	again := []string{"dial", "udp", at(clusterIP4, 8001), "--from-port", "4001"}
	s.expect(silence, s.client, again...)
	s.kill9()
	s.start("--disable", "netfilter")
	s.expect(silence, s.client, again...) // a flow that was deferred before
	s.expect(silence, s.client, "dial", "tcp", at(clusterIP4, 8000))
	s.expect(ok, s.client, "dial", "tcp", at(s.good.IPv4(), 80))
	s.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{ipBlock: {cidr: 10.96.0.10/32}}]}]}`)
	s.expect(ok, s.client, "dial", "tcp", at(clusterIP4, 8000)) // as it was dialled
	s.expectProblem("switched off by --disable")
}

func (s *services) expectProblem(what string) {
	s.Helper()
	status, err := s.node.Client().Status(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if !strings.Contains(strings.Join(status.Problems, "\n"), what) {
		s.Errorf("status does not say %q: %q", what, status.Problems)
	}
}

// TestServicesBridgedPastNetfilter: where bridged frames pass no netfilter nothing is
// deferred, and a frame to a Service's address with another pod's MAC reaches nobody.
func TestServicesBridgedPastNetfilter(t *testing.T) {
	t.Parallel()
	s := newServices(t, harness.Config{}, false)
	s.leads("tcp", netip.AddrPortFrom(clusterIP4, 8000), s.good.IPv4(), false)
	s.put("NetworkPolicy", toGood)
	s.expect(ok, s.client, "dial", "tcp", at(clusterIP4, 8000))
	s.must(s.bad, "ip", "addr", "add", clusterIP4.String()+"/32", "dev", "lo")
	s.serve(s.bad, "tcp", 8000)
	detour := []string{"ip", "neigh", "replace", s.gateway().String(), "lladdr", s.macOf(s.bad), "dev", "eth0"}
	s.must(s.client, detour...)
	s.expect(silence, s.client, "dial", "tcp", at(clusterIP4, 8001)) // by netfilter's judgement
	if err := s.node.Sysctl("net/bridge/bridge-nf-call-iptables", "0"); err != nil {
		skip(t, err.Error())
	}
	s.kill9()
	s.start()
	s.expect(silence, s.client, "dial", "tcp", at(clusterIP4, 8000))
	s.expectProblem("bridge-nf-call-iptables")
}

func (w *world) must(p *harness.Pod, cmd ...string) {
	w.Helper()
	if out, err := p.Command(w.Context(), cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
		w.Fatalf("%v: %v: %s", cmd, err, out)
	}
}

// macOf is the hardware address of the pod's interface.
func (w *world) macOf(p *harness.Pod) string {
	w.Helper()
	out, err := p.Command(w.Context(), "ip", "-o", "link", "show", "eth0").Output()
	if err != nil {
		w.Fatal(err)
	}
	fields := strings.Fields(string(out))
	i := slices.Index(fields, "link/ether")
	if i < 0 || i+1 >= len(fields) {
		w.Fatalf("no hardware address: %s", out)
	}
	return fields[i+1]
}
