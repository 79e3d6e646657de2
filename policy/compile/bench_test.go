// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"net/netip"
	"testing"

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

func workloads(pods, policies, local int) Input {
	in := Input{Cluster: &policy.Cluster{
		Namespaces: map[string]policy.Namespace{},
		Pods:       map[policy.PodKey]policy.Pod{},
	}}
	namespaces := max(1, pods/200)
	app := func(i int) policy.Selector { return in1("app", fmt.Sprintf("app%d", i)) }
	for i := range pods {
		pod := policy.Pod{
			PodKey: policy.PodKey{Namespace: fmt.Sprintf("ns%d", i/10%namespaces), Name: fmt.Sprintf("pod%d", i)},
			Labels: map[string]string{"app": fmt.Sprintf("app%d", i/10), "pod-name": fmt.Sprintf("pod%d", i), "part-of": "bench"},
			IPs: []netip.Addr{
				netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
				netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}),
			},
		}
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
			Namespace: fmt.Sprintf("ns%d", i%namespaces), Name: fmt.Sprintf("np%d", i),
			Pods: app(i), Isolates: [2]bool{true, true},
		}
		p.Rules[policy.Ingress] = []policy.Rule{{
			Peers: []policy.Peer{{Pods: ptr(app(i + namespaces))}, {Pods: ptr(app(i + 1)), Namespaces: &policy.Selector{}}},
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

func in1(key, value string) policy.Selector {
	return policy.Selector{Requirements: []policy.Requirement{{Key: key, Operator: policy.In, Values: []string{value}}}}
}

func ptr[T any](v T) *T { return &v }
