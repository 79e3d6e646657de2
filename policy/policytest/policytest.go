// SPDX-License-Identifier: Apache-2.0

// Package policytest makes random clusters, edits of them, and flows and acts to ask,
// for tests that compare two ways of judging. Names, labels, ports and addresses come
// from small stocks, so that selectors, blocks and rules meet often; all of it is
// what the standard APIs and WorkloadPolicy can say.
package policytest

import (
	"math/rand/v2"

	"github.com/sluice-io/sluice/policy"
)

// Size says how large a random cluster is.
type Size struct {
	Namespaces             int // at least 1
	Pods                   int // at least 1
	Local                  int // of these, judged here
	Nodes                  int
	Services               int // besides default/kubernetes
	ClusterNetworkPolicies int
	NetworkPolicies        int
	WorkloadPolicies       int // ClusterWorkloadPolicies too
}

// Small is a size at which most rules meet most pods.
var Small = Size{
	Namespaces: 3, Pods: 14, Local: 5, Nodes: 3, Services: 3,
	ClusterNetworkPolicies: 5, NetworkPolicies: 7, WorkloadPolicies: 5,
}

// Case is a random cluster with what else a compiler is given.
type Case struct {
	Cluster *policy.Cluster
	// Local are pods of the cluster that have an IPv4 and an IPv6 address and are
	// not of the host's network.
	Local []policy.PodKey
	// Programs are sets of paths that are one file.
	Programs [][]string

	size Size
}

// Random makes a cluster.
func Random(r *rand.Rand, size Size) Case {
	c := Case{size: size, Cluster: &policy.Cluster{
		Namespaces:     map[string]policy.Namespace{},
		Pods:           map[policy.PodKey]policy.Pod{},
		Nodes:          map[string]policy.Node{},
		Services:       map[policy.ObjectKey]policy.Service{},
		EndpointSlices: map[policy.ObjectKey]policy.EndpointSlice{},
	}}
	for i := range size.Namespaces {
		// One in four is described by no object.
		if name := namespaceName(i); r.IntN(4) > 0 {
			c.Cluster.Namespaces[name] = randomNamespace(r, name)
		}
	}
	for i := range size.Nodes {
		c.Cluster.Nodes[nodeName(i)] = randomNode(r, i)
	}
	for i := range size.Pods {
		pod := c.randomPod(r, i)
		c.Cluster.Pods[pod.PodKey] = pod
		if i < size.Local {
			c.Local = append(c.Local, pod.PodKey)
		}
	}
	for _, key := range c.services() {
		if r.IntN(6) > 0 {
			c.Cluster.Services[key] = randomService(r, key)
		}
		c.addSlices(r, key)
	}
	c.addPolicies(r)
	c.Programs = randomPrograms(r)
	return c
}

// addPolicies makes the policies, out of the order of their names.
func (c *Case) addPolicies(r *rand.Rand) {
	for _, i := range r.Perm(c.size.ClusterNetworkPolicies) {
		c.Cluster.ClusterNetworkPolicies = append(c.Cluster.ClusterNetworkPolicies, c.randomClusterNetworkPolicy(r, i))
	}
	for _, i := range r.Perm(c.size.NetworkPolicies) {
		c.Cluster.NetworkPolicies = append(c.Cluster.NetworkPolicies, c.randomNetworkPolicy(r, i))
	}
	for _, i := range r.Perm(c.size.WorkloadPolicies) {
		c.Cluster.WorkloadPolicies = append(c.Cluster.WorkloadPolicies, c.randomWorkloadPolicy(r, i))
	}
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
