// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// TestSecondInterface: a pod's rules by process hold on each of its interfaces, also
// where they are asked away from its doors: after DNAT, and when a socket is passed.
func TestSecondInterface(t *testing.T) {
	t.Parallel()
	s := newServices(t, harness.Config{}, false)
	dir := mustDir(t)
	good, bad := copyOf(t, dir, "good"), copyOf(t, dir, "bad")
	for _, network := range []string{"tcp", "udp"} {
		s.leads(network, netip.AddrPortFrom(clusterIP4, 8000), s.good.IPv4(), false)
	}
	second, err := s.node.AddLink(t.Context(), s.client, "net1")
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{clusterIP4.String(), s.good.IPv4().String()} {
		s.must(s.client, "ip", "route", "add", to, "via", "10.89.0.1", "dev", "net1", "src", second.IPv4().String())
	}
	s.put("WorkloadPolicy", allowProcesses(good))
	for _, network := range []string{"tcp", "udp"} {
		front, direct := at(clusterIP4, 8000), at(s.good.IPv4(), 80)
		s.expectOf(ok, s.client, good, "dial", network, front)
		s.expectOf(silence, s.client, bad, "dial", network, front)
		s.expectOf(ok, s.client, good, "dial", network, direct)
		s.expectOf(eperm, s.client, bad, "dial", network, direct)
		for _, to := range []string{front, direct} {
			s.expectOf(ok, s.client, good, "pass-connected", good, network, to)
			s.expectOf(silence, s.client, good, "pass-connected", bad, network, to)
		}
	}
	// What is left of the pod is as it was.
	if err := second.Del(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.expectOf(ok, s.client, good, "dial", "tcp", at(clusterIP4, 8000))
	s.expectOf(silence, s.client, good, "pass-connected", bad, "tcp", at(clusterIP4, 8000))
}
