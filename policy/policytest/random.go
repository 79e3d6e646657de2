// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/sluice-io/sluice/policy"
)

// randomNamespace has labels; its name is among them only as the reader of a
// manifest may have left it, that is not at all.
func randomNamespace(r *rand.Rand, name string) policy.Namespace {
	return policy.Namespace{Name: name, Labels: randomLabels(r, namespaceLabels[:2])}
}

// randomNode has one address of each family or of one, outside the pods' stock.
func randomNode(r *rand.Rand, i int) policy.Node {
	n := policy.Node{Name: nodeName(i), Labels: randomLabels(r, nodeLabels)}
	if r.IntN(6) > 0 {
		n.IPs = append(n.IPs, randomNode4(r))
	}
	if r.IntN(3) > 0 {
		n.IPs = append(n.IPs, randomNode6(r))
	}
	for range r.IntN(3) {
		addr := randomAddr(r)
		n.PodCIDRs = append(n.PodCIDRs, netip.PrefixFrom(addr, addr.BitLen()-pick(r, 3, 4, 8)).Masked())
	}
	return n
}

// randomPod makes the i-th pod, a local one if i is below size.Local.
func (c *Case) randomPod(r *rand.Rand, i int) policy.Pod {
	pod := policy.Pod{
		PodKey:         policy.PodKey{Namespace: c.randomNamespaceName(r), Name: podName(i)},
		UID:            fmt.Sprintf("uid-%d-%d", i, r.IntN(1000)),
		Labels:         randomLabels(r, podLabels),
		ServiceAccount: pick(r, accounts...),
		Ports:          randomContainerPorts(r),
	}
	c.randomIPs(r, i, &pod)
	return pod
}

// randomContainerPorts names one number or another on each pod; two containers
// may give one name to two ports.
func randomContainerPorts(r *rand.Rand) []policy.ContainerPort {
	var out []policy.ContainerPort
	for range r.IntN(4) {
		out = append(out, policy.ContainerPort{
			Name:     pick(r, portNames...),
			Protocol: pick(r, policy.TCP, policy.TCP, policy.UDP, policy.SCTP),
			Number:   pick(r, ports...),
		})
	}
	return out
}

// randomIPs gives the i-th pod its addresses, those of its node on the host's
// network. Now and then two pods share one, as when an address was handed out
// again before the former pod is gone.
func (c *Case) randomIPs(r *rand.Rand, i int, pod *policy.Pod) {
	local := i < c.size.Local
	pod.IPs, pod.Node = nil, nodeName(0)
	if !local && c.size.Nodes > 0 {
		pod.Node = nodeName(r.IntN(c.size.Nodes))
	}
	pod.HostNetwork = !local && r.IntN(6) == 0
	if node, ok := c.Cluster.Nodes[pod.Node]; ok && pod.HostNetwork {
		pod.IPs = node.IPs
		return
	}
	if local || r.IntN(5) > 0 {
		pod.IPs = append(pod.IPs, randomAddr4(r))
	}
	if local || r.IntN(2) > 0 {
		pod.IPs = append(pod.IPs, randomAddr6(r))
	}
}

// randomService has addresses of its own stock, and now and then one of the world.
func randomService(r *rand.Rand, key policy.ObjectKey) policy.Service {
	s := policy.Service{ObjectKey: key}
	if key.Namespace != "default" && r.IntN(3) > 0 {
		s.Selector = map[string]string{pick(r, podLabels...): pick(r, labelValues...)}
		if r.IntN(3) == 0 {
			s.Selector[pick(r, podLabels...)] = pick(r, labelValues...)
		}
	}
	if r.IntN(6) > 0 { // headless
		s.IPs = append(s.IPs, randomService4(r))
	}
	if r.IntN(5) == 0 {
		s.IPs = append(s.IPs, randomWorld(r))
	}
	for range r.IntN(3) {
		s.Ports = append(s.Ports, policy.ServicePort{
			Protocol: pick(r, policy.TCP, policy.UDP, policy.SCTP),
			Number:   pick(r, ports...),
			NodePort: pick(r, 0, uint16(30000+r.IntN(8))),
		})
	}
	return s
}

// addSlices gives a Service new EndpointSlices: addresses of pods, whether its
// selector selects them or not, of nodes and of the world.
func (c *Case) addSlices(r *rand.Rand, service policy.ObjectKey) {
	n := r.IntN(maxSlices + 1)
	for i := range maxSlices {
		key := sliceKey(service, i)
		delete(c.Cluster.EndpointSlices, key)
		if i >= n {
			continue
		}
		s := policy.EndpointSlice{ObjectKey: key, Service: service.Name}
		for range r.IntN(4) {
			s.IPs = append(s.IPs, c.randomBackend(r))
		}
		c.Cluster.EndpointSlices[key] = s
	}
}

func (c *Case) randomBackend(r *rand.Rand) netip.Addr {
	addrs := c.podAddrs(r.IntN(c.size.Pods))
	switch r.IntN(4) {
	case 0:
		addrs = c.nodeAddrs()
	case 1:
		addrs = nil
	}
	if len(addrs) == 0 {
		return randomWorld(r)
	}
	return pick(r, addrs...)
}

// randomPrograms are sets of paths, some named by rules and some not.
func randomPrograms(r *rand.Rand) [][]string {
	var out [][]string
	for range r.IntN(4) {
		var set []string
		for range r.IntN(4) {
			set = append(set, pick(r, append([]string{"/bin/unnamed"}, paths...)...))
		}
		out = append(out, set)
	}
	return out
}
