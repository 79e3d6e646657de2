// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// TestAffinity has a Service that gives a client the same backend again, as
// kube-proxy's rules do: the one who got the allowed backend is let through every
// time, the one who got the denied backend never.
func TestAffinity(t *testing.T) {
	for topology, cfg := range topologies {
		for _, proxy := range []string{"iptables", "nft"} {
			t.Run(topology+"/"+proxy, func(t *testing.T) {
				t.Parallel()
				s := newServices(t, cfg, proxy == "nft")
				second := s.add(harness.PodSpec{Namespace: "shop", Name: "second", Labels: map[string]string{"app": "client"}})
				for _, front := range []netip.Addr{clusterIP4, clusterIP6} {
					for _, network := range []string{"tcp", "udp"} {
						s.sticks(network, netip.AddrPortFrom(front, 8000), ip(s.good, front), ip(s.bad, front))
					}
				}
				reach := func(what string, of, ofSecond int) {
					t.Helper()
					for range 3 {
						s.expectEach(what, of, s.client)
						s.expectEach(what, ofSecond, second)
					}
				}
				s.put("NetworkPolicy", toGood)
				reach("good alone is allowed", ok, silence)
				s.flow(second, "a flow to the denied backend", func(f *rpc.Flow) bool {
					return f.Verdict == "denied" && f.Destination.IP == clusterIP4 && f.Backend != nil && f.Backend.Pod == "bad"
				})
				s.put("NetworkPolicy", toBad)
				reach("bad alone is allowed", silence, ok)
				s.remove("NetworkPolicy")
				reach("no policy", ok, ok)
			})
		}
	}
}

// expectEach dials each protocol of each family, one after the other: that is the
// order in which backends are given.
func (s *services) expectEach(what string, want int, p *harness.Pod) {
	s.Helper()
	var tries []try
	for _, front := range []netip.Addr{clusterIP4, clusterIP6} {
		for _, network := range []string{"tcp", "udp"} {
			tries = append(tries, try{want, []string{"dial", network, at(front, 8000)}})
		}
	}
	s.expectAll(what, p, tries)
}

// sticks makes a front lead new clients to one backend and the other by turns, and
// clients that it knows where they were led before.
func (s *services) sticks(network string, front netip.AddrPort, one, other netip.Addr) {
	s.Helper()
	rules := stickyIPTables
	if s.nft {
		rules = stickyNFT
	}
	for _, cmd := range rules(network, front, netip.AddrPortFrom(one, 80), netip.AddrPortFrom(other, 80)) {
		s.onNode(cmd...)
	}
}

func stickyIPTables(network string, front, one, other netip.AddrPort) (out [][]string) {
	tool, name := "iptables", network
	if front.Addr().Is6() {
		tool, name = "ip6tables", network+"6"
	}
	add := func(args ...string) { out = append(out, append([]string{tool, "-w", "-t", "nat"}, args...)) }
	svc := "SVC-" + name
	add("-N", svc)
	for i, to := range []netip.AddrPort{one, other} {
		sep := fmt.Sprintf("SEP-%s-%d", name, i)
		add("-N", sep)
		add("-A", sep, "-p", network, "-m", "recent", "--name", sep, "--set", "-j", "DNAT", "--to-destination", to.String())
		add("-A", svc, "-m", "recent", "--name", sep, "--rcheck", "--seconds", "10800", "--reap", "-j", sep)
	}
	add("-A", svc, "-m", "statistic", "--mode", "nth", "--every", "2", "--packet", "0", "-j", "SEP-"+name+"-0")
	add("-A", svc, "-j", "SEP-"+name+"-1")
	add("-A", "PREROUTING", "-p", network, "-d", front.Addr().String(), "--dport", fmt.Sprint(front.Port()), "-j", svc)
	return out
}

func stickyNFT(network string, front, one, other netip.AddrPort) (out [][]string) {
	family, kind := "ip", "ipv4_addr"
	if front.Addr().Is6() {
		family, kind = "ip6", "ipv6_addr"
	}
	add := func(what string, args ...string) {
		out = append(out, append([]string{"nft", "add", what, family, "sticky"}, args...))
	}
	out = append(out, []string{"nft", "add", "table", family, "sticky"})
	add("chain", "pre", "{ type nat hook prerouting priority dstnat ; }")
	svc := "svc-" + network
	add("chain", svc)
	for i, to := range []netip.AddrPort{one, other} {
		sep := fmt.Sprintf("sep-%s-%d", network, i)
		add("set", sep, "{ type "+kind+" ; flags dynamic,timeout ; timeout 3h ; }")
		add("chain", sep)
		add("rule", sep, "update", "@"+sep, "{ "+family+" saddr }")
		add("rule", sep, "meta", "l4proto", network, "dnat", "to", to.String())
		add("rule", svc, family, "saddr", "@"+sep, "goto", sep)
	}
	add("rule", svc, "numgen", "inc", "mod", "2", "vmap", fmt.Sprintf("{ 0 : goto sep-%[1]s-0 , 1 : goto sep-%[1]s-1 }", network))
	add("rule", "pre", family, "daddr", front.Addr().String(), network, "dport", fmt.Sprint(front.Port()), "goto", svc)
	return out
}
