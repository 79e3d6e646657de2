// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

// market is the shop with ports on its pods, nodes, Services and a pod in another
// namespace.
func market(policies ...any) Input {
	in := shop(policies...)
	ips := func(list ...string) (out []netip.Addr) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	port := func(name string, p policy.Protocol, number uint16) policy.ContainerPort {
		return policy.ContainerPort{Name: name, Protocol: p, Number: number}
	}
	c := in.Cluster
	for key, ports := range map[policy.PodKey][]policy.ContainerPort{
		web: {port("http", policy.TCP, 80)},
		db:  {port("http", policy.TCP, 8080), port("http", policy.UDP, 53)},
	} {
		pod := c.Pods[key]
		pod.Ports = ports
		c.Pods[key] = pod
	}
	other := policy.PodKey{Namespace: "other", Name: "batch"}
	c.Pods[other] = policy.Pod{PodKey: other, IPs: ips("10.0.9.1"), ServiceAccount: "robot"}
	host := policy.PodKey{Namespace: "other", Name: "proxy"}
	c.Pods[host] = policy.Pod{PodKey: host, IPs: ips("192.168.0.1"), HostNetwork: true, ServiceAccount: "robot"}
	c.Nodes = map[string]policy.Node{
		"a": {Name: "a", Labels: map[string]string{"zone": "a"}, IPs: ips("192.168.0.1"), PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}},
		"b": {Name: "b", Labels: map[string]string{"zone": "b"}, IPs: ips("192.168.0.2")},
	}
	c.Services = map[policy.ObjectKey]policy.Service{
		{Namespace: "shop", Name: "db"}: {
			Selector: map[string]string{"app": "db"}, IPs: ips("10.96.0.1"),
			Ports: []policy.ServicePort{{Protocol: policy.TCP, Number: 1, NodePort: 30001}, {Protocol: policy.UDP, Number: 2}},
		},
		{Namespace: "shop", Name: "ext"}: {
			IPs:   ips("10.96.0.2", "203.0.113.9", "10.96.0.1"),
			Ports: []policy.ServicePort{{Protocol: policy.TCP, Number: 1, NodePort: 30000}},
		},
	}
	c.EndpointSlices = map[policy.ObjectKey]policy.EndpointSlice{
		{Namespace: "shop", Name: "ext-1"}:           {Service: "ext", IPs: ips("198.51.100.1", "10.0.9.1")},
		{Namespace: "other", Name: "ext-1"}:          {Service: "ext", IPs: ips("198.51.100.2")},
		{Namespace: "default", Name: "kubernetes-1"}: {Service: "kubernetes", IPs: ips("192.168.0.2")},
	}
	return in
}

// addresses of the market, and one of the world.
var addresses = []string{
	"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.9.1", "10.0.7.7", "10.96.0.1", "10.96.0.2", "192.168.0.1", "192.168.0.2",
	"198.51.100.1", "198.51.100.2", "203.0.113.9", "2001:db8::1",
}
