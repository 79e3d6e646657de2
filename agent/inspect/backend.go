// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/sluice-io/sluice/policy"
)

// target is where a connection may end: the destination itself, or one of the
// backends of a Service.
type target struct {
	place
	port Port
	nat  bool // reached through a Service's address
}

// targets finds where a connection may end, and says so if it is by a Service.
func (s *Snapshot) targets(to End, port Port) ([]target, string, error) {
	key, fronts := to.Service, []netip.Addr{to.Addr}
	if to.Addr.IsValid() && !s.at(to.Addr).isPod() {
		key = s.serviceAt(to.Addr)
	}
	if key == (policy.ObjectKey{}) {
		p, err := s.find(to)
		if err != nil {
			return nil, "", err
		}
		if port, err = portOn(p, port); err != nil {
			return nil, "", err
		}
		return []target{{place: p, port: port}}, "", nil
	}
	list, err := s.backends(key, port)
	if err != nil {
		return nil, "", err
	}
	if !to.Addr.IsValid() {
		fronts = s.cluster.Services[key].IPs
	}
	if len(fronts) > 0 { // a Service's address leads to backends of its family
		list = slices.DeleteFunc(list, func(t target) bool {
			return !slices.ContainsFunc(fronts, func(a netip.Addr) bool { return a.Is4() == t.addrs[0].Is4() })
		})
	}
	if len(list) == 0 {
		return nil, "", fmt.Errorf("service %s/%s has no backend: apply its EndpointSlices, or the Pods that it selects with their status.podIPs",
			key.Namespace, key.Name)
	}
	note := fmt.Sprintf("service %s/%s is judged by the backend that is chosen, at its port",
		key.Namespace, key.Name)
	return list, note, nil
}

// serviceAt is the first Service by name that has an address; the zero key if none.
func (s *Snapshot) serviceAt(addr netip.Addr) policy.ObjectKey {
	var out policy.ObjectKey
	for key, service := range s.cluster.Services {
		if slices.Contains(service.IPs, addr) && (out.Name == "" || compareKeys(key, out) < 0) {
			out = key
		}
	}
	return out
}

func compareKeys(a, b policy.ObjectKey) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// backends are the addresses in a Service's EndpointSlices; if there are none,
// those of the pods that it selects.
func (s *Snapshot) backends(key policy.ObjectKey, port Port) ([]target, error) {
	service, front, err := s.front(key, port)
	if err != nil {
		return nil, err
	}
	var out []target
	for _, name := range slices.SortedFunc(maps.Keys(s.cluster.EndpointSlices), compareKeys) {
		if slice := s.cluster.EndpointSlices[name]; name.Namespace == key.Namespace && slice.Service == key.Name {
			list, err := s.inSlice(slice, service, front)
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	selector := s.cluster.Services[key].Selector
	for _, pod := range slices.SortedFunc(maps.Values(s.cluster.Pods), comparePods) {
		if pod.Namespace != key.Namespace || len(selector) == 0 || !hasLabels(pod, selector) {
			continue
		}
		p, err := s.find(End{Pod: pod.PodKey}) // a host-network pod has its node's addresses
		if err != nil {
			return nil, err
		}
		back, err := portOn(p, targetPort(service, front))
		if err != nil {
			return nil, err
		}
		for _, addr := range addressesOf(p.addrs) {
			out = append(out, target{place{pod, []netip.Addr{addr}}, back, !headless(service)})
		}
	}
	return out, nil
}

func hasLabels(pod policy.Pod, want map[string]string) bool {
	for key, value := range want {
		if v, ok := pod.Labels[key]; !ok || v != value {
			return false
		}
	}
	return true
}

// front is a Service, and which of its ports is meant. One without an address of
// its own has no ports but those of its backends: the port stays as it is.
func (s *Snapshot) front(key policy.ObjectKey, port Port) (*corev1.Service, corev1.ServicePort, error) {
	o, ok := s.services[key]
	if !ok {
		return nil, corev1.ServicePort{}, fmt.Errorf("service %s/%s is not known: apply it, or write the address of its backend",
			key.Namespace, key.Name)
	}
	service := new(corev1.Service)
	if err := json.Unmarshal(o.JSON, service); err != nil {
		return nil, corev1.ServicePort{}, fmt.Errorf("read %s: %w", o.Ref, err)
	}
	if headless(service) {
		service.Spec.Ports = nil
	}
	var found []corev1.ServicePort
	var there []string
	for _, sp := range service.Spec.Ports {
		sp.Protocol = cmp.Or(sp.Protocol, corev1.ProtocolTCP)
		there = append(there, fmt.Sprintf("%d/%s", sp.Port, sp.Protocol))
		same := port.Name == "" && int32(port.Number) == sp.Port || port.Name != "" && port.Name == sp.Name
		if same && (port.Protocol == policy.AnyProtocol || protocolName(port.Protocol) == string(sp.Protocol)) {
			found = append(found, sp)
		}
	}
	switch {
	case len(found) == 1:
		return service, found[0], nil
	case headless(service) && port.Number != 0:
		return service, corev1.ServicePort{Port: int32(port.Number), Protocol: corev1.Protocol(protocolName(port.Protocol))}, nil
	case headless(service):
		return nil, corev1.ServicePort{}, fmt.Errorf("service %s/%s has no address and so no ports of its own: write the number of its backends' port", key.Namespace, key.Name)
	}
	return nil, corev1.ServicePort{}, fmt.Errorf("service %s/%s does not forward %s: it has %s", key.Namespace, key.Name, port,
		cmp.Or(strings.Join(there, ", "), "no port"))
}

// headless says of a Service that it has no address: its names lead to the backends.
func headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

// targetPort is the port of a Service's backends as the Service says it.
func targetPort(service *corev1.Service, front corev1.ServicePort) Port {
	out := Port{Number: uint16(front.Port)}
	for _, p := range [...]policy.Protocol{policy.TCP, policy.UDP, policy.SCTP} {
		if protocolName(p) == string(front.Protocol) {
			out.Protocol = p
		}
	}
	if headless(service) {
		return out
	}
	if name := front.TargetPort.StrVal; name != "" {
		out.Number, out.Name = 0, name
	} else if front.TargetPort.IntVal != 0 {
		out.Number = uint16(front.TargetPort.IntVal)
	}
	return out
}

// inSlice are the backends of an EndpointSlice. Its port of the same name is the
// backends'; where it tells none, the Service's target port is.
func (s *Snapshot) inSlice(slice policy.EndpointSlice, service *corev1.Service, front corev1.ServicePort) ([]target, error) {
	o := s.slices[slice.ObjectKey]
	var read discoveryv1.EndpointSlice
	if err := json.Unmarshal(o.JSON, &read); err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Ref, err)
	}
	port := targetPort(service, front)
	for _, p := range read.Ports {
		name, protocol := "", corev1.ProtocolTCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		if !headless(service) && p.Port != nil && name == front.Name && protocol == front.Protocol {
			port = Port{Protocol: port.Protocol, Number: uint16(*p.Port)}
		}
	}
	var out []target
	for _, addr := range slice.IPs {
		p := s.at(addr)
		back, err := portOn(p, port)
		if err != nil {
			return nil, err
		}
		out = append(out, target{p, back, !headless(service)})
	}
	return out, nil
}
