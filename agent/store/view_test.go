// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

func TestClusterHasEveryKind(t *testing.T) {
	s := mustNew(t, "", t.TempDir())
	want := &policy.Cluster{
		Namespaces:     make(map[string]policy.Namespace),
		Pods:           make(map[policy.PodKey]policy.Pod),
		Nodes:          make(map[string]policy.Node),
		Services:       make(map[policy.ObjectKey]policy.Service),
		EndpointSlices: make(map[policy.ObjectKey]policy.EndpointSlice),
	}
	if diff := cmp.Diff(want, s.Cluster()); diff != "" {
		t.Errorf("empty cluster (-want +got):\n%s", diff)
	}
	for _, doc := range []string{
		namespace("a", "1"),
		"apiVersion: v1\nkind: Pod\nmetadata: {namespace: a, name: p}",
		"apiVersion: v1\nkind: Node\nmetadata: {name: n1}",
		"apiVersion: v1\nkind: Service\nmetadata: {namespace: a, name: s}",
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: a, name: s-1}\naddressType: IPv4",
		"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: z}\nspec: {tier: Admin, priority: 1, subject: {namespaces: {}}}",
		"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: x}\nspec: {tier: Baseline, priority: 2, subject: {namespaces: {}}}",
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: a, name: x}",
		"apiVersion: sluice.dev/v1alpha1\nkind: WorkloadPolicy\nmetadata: {namespace: a, name: x}",
		"apiVersion: sluice.dev/v1alpha1\nkind: ClusterWorkloadPolicy\nmetadata: {name: x}",
	} {
		mustPut(t, s, doc)
	}
	key := func(name string) policy.ObjectKey { return policy.ObjectKey{Namespace: "a", Name: name} }
	pod := policy.PodKey{Namespace: "a", Name: "p"}
	want.Namespaces["a"] = policy.Namespace{Name: "a", Labels: map[string]string{"team": "1", "kubernetes.io/metadata.name": "a"}}
	want.Pods[pod] = policy.Pod{PodKey: pod, ServiceAccount: "default"}
	want.Nodes["n1"] = policy.Node{Name: "n1"}
	want.Services[key("s")] = policy.Service{ObjectKey: key("s")}
	want.EndpointSlices[key("s-1")] = policy.EndpointSlice{ObjectKey: key("s-1")}
	want.ClusterNetworkPolicies = []*policy.ClusterNetworkPolicy{
		{Name: "x", Tier: policy.Baseline, Priority: 2}, {Name: "z", Tier: policy.Admin, Priority: 1},
	}
	want.NetworkPolicies = []*policy.NetworkPolicy{{Namespace: "a", Name: "x", Isolates: [2]bool{policy.Ingress: true}}}
	want.WorkloadPolicies = []*policy.WorkloadPolicy{
		{Name: "x", Namespaces: &policy.Selector{}, Mode: policy.Enforce, DenyResponse: policy.Errno, Fallback: policy.Observe},
		{Namespace: "a", Name: "x", Mode: policy.Enforce, DenyResponse: policy.Errno, Fallback: policy.Observe},
	}
	if diff := cmp.Diff(want, s.Cluster()); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}
}
