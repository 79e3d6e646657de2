// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sluice-io/sluice/policy"
)

// BenchmarkCompile compiles, from scratch, clusters of workloads of ten pods each
// open by a policy to another of its namespace, to one anywhere, a block and DNS.
func BenchmarkCompile(b *testing.B) {
	for _, size := range []struct{ pods, policies, local int }{
		{100, 50, 100}, {10000, 1000, 110}, {10000, 1000, 10000},
	} {
		b.Run(fmt.Sprintf("pods=%d/policies=%d/local=%d", size.pods, size.policies, size.local), func(b *testing.B) {
			in := workloads(size.pods, size.policies, size.local)
			var im *Image
			for b.Loop() {
				im = mustCompile(b, New(new(IDs)), in)
			}
			b.ReportMetric(float64(len(im.Edges)), "edges")
			b.ReportMetric(float64(len(im.RuleSets)), "rulesets")
		})
	}
}

// BenchmarkChange compiles, after one change each, a cluster of 10,000 pods and
// 1,000 policies whose 250 local pods are all under different ones.
func BenchmarkChange(b *testing.B) {
	in := workloads(10000, 1000, 0)
	for i := range 250 {
		in.Local = append(in.Local, podOf(40*i).PodKey)
	}
	in.Cluster.ClusterNetworkPolicies = []*policy.ClusterNetworkPolicy{{
		Name: "metadata", Tier: policy.Admin, Rules: [2][]policy.Rule{policy.Egress: {
			{Action: policy.Deny, Peers: []policy.Peer{block("169.254.169.254/32")}},
		}},
	}}
	for name, change := range map[string]func(*policy.Cluster){
		"nothing": func(*policy.Cluster) {},
		"port": func(c *policy.Cluster) {
			p := *c.NetworkPolicies[4]
			p.Rules[policy.Ingress] = slices.Clone(p.Rules[policy.Ingress])
			p.Rules[policy.Ingress][0].Ports = []policy.Port{{Protocol: policy.TCP, Number: 8081}}
			c.NetworkPolicies[4] = &p
		},
		"selector": func(c *policy.Cluster) {
			p := *c.NetworkPolicies[4]
			p.Rules[policy.Ingress] = slices.Clone(p.Rules[policy.Ingress])
			p.Rules[policy.Ingress][0].Peers = []policy.Peer{{Pods: ptr(in1("part-of", "bench")), Namespaces: &policy.Selector{}}}
			c.NetworkPolicies[4] = &p
		},
		"block": func(c *policy.Cluster) {
			p := *c.NetworkPolicies[4]
			p.Rules[policy.Egress] = slices.Clone(p.Rules[policy.Egress])
			p.Rules[policy.Egress][1].Peers = []policy.Peer{block("10.0.0.0/8", "10.0.1.0/24")}
			c.NetworkPolicies[4] = &p
		},
		"label": func(c *policy.Cluster) {
			pod := podOf(41)
			pod.Labels["app"] = "app5"
			c.Pods[pod.PodKey] = pod
		},
		"pod": func(c *policy.Cluster) {
			pod := podOf(10001)
			pod.Labels["app"] = "app5"
			c.Pods[pod.PodKey] = pod
		},
	} {
		b.Run(name, func(b *testing.B) { benchmarkChange(b, in, change) })
	}
}

// benchmarkChange makes a change and takes it back again and again. What retires is
// gone by the Compile between, as it is in use.
func benchmarkChange(b *testing.B, in Input, change func(*policy.Cluster)) {
	other := in
	other.Cluster = new(policy.Cluster)
	*other.Cluster = *in.Cluster
	other.Cluster.Pods = maps.Clone(in.Cluster.Pods)
	other.Cluster.NetworkPolicies = slices.Clone(in.Cluster.NetworkPolicies)
	change(other.Cluster)
	c := New(new(IDs))
	mustCompile(b, c, in)
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		mustCompile(b, c, other)
		took = append(took, time.Since(begin))
		b.StopTimer()
		mustCompile(b, c, other)
		in, other = other, in
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func workloads(pods, policies, local int) Input {
	in := Input{Cluster: &policy.Cluster{
		Namespaces: map[string]policy.Namespace{},
		Pods:       map[policy.PodKey]policy.Pod{},
	}}
	app := func(i int) policy.Selector { return in1("app", fmt.Sprintf("app%d", i)) }
	for i := range pods {
		pod := podOf(i)
		in.Cluster.Pods[pod.PodKey] = pod
		if i < local {
			in.Local = append(in.Local, pod.PodKey)
		}
	}
	dns := policy.Rule{
		Peers: []policy.Peer{{Namespaces: ptr(in1(nameLabel, "ns0")), Pods: ptr(app(0))}},
		Ports: []policy.Port{{Protocol: policy.UDP, Number: 53}, {Protocol: policy.TCP, Number: 53}},
	}
	for i := range policies {
		block := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24)
		p := &policy.NetworkPolicy{
			Namespace: fmt.Sprintf("ns%d", i%benchNamespaces), Name: fmt.Sprintf("np%d", i),
			Pods: app(i), Isolates: [2]bool{true, true},
		}
		p.Rules[policy.Ingress] = []policy.Rule{{
			Peers: []policy.Peer{{Pods: ptr(app(i + benchNamespaces))}, {Pods: ptr(app(i + 1)), Namespaces: &policy.Selector{}}},
			Ports: []policy.Port{{Protocol: policy.TCP, Number: 8080}},
		}}
		p.Rules[policy.Egress] = []policy.Rule{dns, {
			Peers: []policy.Peer{{IPBlock: &policy.IPBlock{CIDR: block}}},
			Ports: []policy.Port{{Protocol: policy.TCP, Number: 443}},
		}}
		in.Cluster.NetworkPolicies = append(in.Cluster.NetworkPolicies, p)
	}
	return in
}

const benchNamespaces = 50

// podOf is the i-th pod; ten in a row are replicas.
func podOf(i int) policy.Pod {
	return policy.Pod{
		PodKey: policy.PodKey{Namespace: fmt.Sprintf("ns%d", i/10%benchNamespaces), Name: fmt.Sprintf("pod%d", i)},
		Labels: map[string]string{"app": fmt.Sprintf("app%d", i/10), "pod-name": fmt.Sprintf("pod%d", i), "part-of": "bench"},
		IPs: []netip.Addr{
			netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}),
		},
	}
}

func in1(key, value string) policy.Selector {
	return policy.Selector{Requirements: []policy.Requirement{{Key: key, Operator: policy.In, Values: []string{value}}}}
}

func ptr[T any](v T) *T { return &v }
