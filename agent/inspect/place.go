// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// place is where an end of a connection lies.
type place struct {
	pod   policy.Pod // the zero Pod for an address that is no pod's
	addrs []netip.Addr
}

// judged says whether the place is a pod that policies can select.
func (p place) judged() bool { return p.isPod() && !p.pod.HostNetwork }

func (p place) isPod() bool { return p.pod.Name != "" }

func (p place) String() string {
	if p.isPod() {
		return "pod " + p.pod.String()
	}
	return p.addrs[0].String()
}

// find finds the place of an end that is no Service.
func (s *Snapshot) find(e End) (place, error) {
	if e.Addr.IsValid() {
		return s.at(e.Addr), nil
	}
	pod, ok := s.cluster.Pods[e.Pod]
	if !ok {
		return place{}, unknownPod(e.Pod)
	}
	addrs := pod.IPs
	if pod.HostNetwork && len(addrs) == 0 {
		addrs = s.cluster.Nodes[pod.Node].IPs
	}
	return place{pod, addrs}, nil
}

// at is the place of an address: the first pod by name that has it, or none.
func (s *Snapshot) at(addr netip.Addr) place {
	out := place{addrs: []netip.Addr{addr}}
	for _, pod := range s.cluster.Pods {
		if !pod.HostNetwork && slices.Contains(pod.IPs, addr) && (!out.isPod() || comparePods(pod, out.pod) < 0) {
			out.pod = pod
		}
	}
	return out
}

func comparePods(a, b policy.Pod) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// madeBy says whether a connection from addr is the own traffic of the node that
// the pod is on.
func (s *Snapshot) madeBy(from place, addr netip.Addr, pod policy.Pod) bool {
	if pod.Node == "" || from.judged() {
		return false
	}
	if from.isPod() {
		return from.pod.Node == pod.Node
	}
	return slices.Contains(s.cluster.Nodes[pod.Node].IPs, addr)
}

// portOn is what a port means on a place.
func portOn(p place, port Port) (Port, error) {
	if port.Name == "" {
		return port, nil
	}
	var found []Port
	var there []string
	for _, cp := range p.pod.Ports {
		named := Port{Protocol: cp.Protocol, Number: cp.Number}
		there = append(there, cp.Name+" = "+named.String())
		if cp.Name == port.Name && (port.Protocol == policy.AnyProtocol || port.Protocol == cp.Protocol) && !slices.Contains(found, named) {
			found = append(found, named)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	what := "no port"
	if len(found) > 1 {
		what = "several ports"
	}
	return Port{}, fmt.Errorf("%s has %s named %s: write a number, as in 80/TCP; it has %s", p, what, port,
		cmp.Or(strings.Join(there, ", "), "no named port"))
}

// addressesOf are the first IPv4 and the first IPv6 address.
func addressesOf(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if !slices.ContainsFunc(out, func(o netip.Addr) bool { return o.Is4() == a.Is4() }) {
			out = append(out, a)
		}
	}
	return out
}
