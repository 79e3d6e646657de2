// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Edit makes a Case that differs from c in a few objects. c stays as it is; the
// two share what did not change.
func (c *Case) Edit(r *rand.Rand) Case {
	next := *c
	next.Cluster = &policy.Cluster{
		Namespaces:             maps.Clone(c.Cluster.Namespaces),
		Pods:                   maps.Clone(c.Cluster.Pods),
		Nodes:                  maps.Clone(c.Cluster.Nodes),
		Services:               maps.Clone(c.Cluster.Services),
		EndpointSlices:         maps.Clone(c.Cluster.EndpointSlices),
		ClusterNetworkPolicies: slices.Clone(c.Cluster.ClusterNetworkPolicies),
		NetworkPolicies:        slices.Clone(c.Cluster.NetworkPolicies),
		WorkloadPolicies:       slices.Clone(c.Cluster.WorkloadPolicies),
	}
	for range 1 + r.IntN(3) {
		next.edit(r)
	}
	return next
}

// edit changes an object of the cluster, which is c's own, or the programs.
func (c *Case) edit(r *rand.Rand) {
	switch r.IntN(9) {
	case 0:
		c.editNamespace(r)
	case 1, 2:
		c.editPod(r)
	case 3:
		c.editNode(r)
	case 4:
		c.editService(r)
	case 5:
		c.Cluster.ClusterNetworkPolicies = editPolicies(r, c.Cluster.ClusterNetworkPolicies, c.randomClusterNetworkPolicy)
	case 6:
		c.Cluster.NetworkPolicies = editPolicies(r, c.Cluster.NetworkPolicies, c.randomNetworkPolicy)
	case 7:
		c.Cluster.WorkloadPolicies = editPolicies(r, c.Cluster.WorkloadPolicies, c.randomWorkloadPolicy)
	case 8:
		c.Programs = randomPrograms(r)
	}
}

// editNamespace changes, adds or takes away a namespace object.
func (c *Case) editNamespace(r *rand.Rand) {
	name := c.randomNamespaceName(r)
	if r.IntN(3) == 0 {
		delete(c.Cluster.Namespaces, name)
		return
	}
	c.Cluster.Namespaces[name] = randomNamespace(r, name)
}

// editNode changes, adds or takes away a node. Its host-network pods keep the
// addresses that they had.
func (c *Case) editNode(r *rand.Rand) {
	if c.size.Nodes == 0 {
		return
	}
	i := r.IntN(c.size.Nodes)
	if r.IntN(3) == 0 {
		delete(c.Cluster.Nodes, nodeName(i))
		return
	}
	c.Cluster.Nodes[nodeName(i)] = randomNode(r, i)
}

// editService changes, adds or takes away a Service, or its EndpointSlices: either
// may be there without the other for a while.
func (c *Case) editService(r *rand.Rand) {
	key := pick(r, c.services()...)
	switch r.IntN(4) {
	case 0:
		delete(c.Cluster.Services, key)
	case 1:
		c.Cluster.Services[key] = randomService(r, key)
	default:
		c.addSlices(r, key)
	}
}

// editPod changes the labels, account, ports or addresses of a pod, takes it away or brings
// it back. Local pods stay.
func (c *Case) editPod(r *rand.Rand) {
	i := r.IntN(c.size.Pods)
	local := i < c.size.Local
	var pod policy.Pod
	found := false
	for _, namespace := range c.namespaces() {
		key := policy.PodKey{Namespace: namespace, Name: podName(i)}
		if p, ok := c.Cluster.Pods[key]; ok {
			pod, found = p, true
		}
	}
	switch {
	case !found:
		pod = c.randomPod(r, i)
	case !local && r.IntN(3) == 0:
		delete(c.Cluster.Pods, pod.PodKey)
		return
	default:
		switch r.IntN(4) {
		case 0:
			pod.Labels = randomLabels(r, podLabels)
		case 1:
			pod.ServiceAccount = pick(r, accounts...)
		case 2:
			pod.Ports = randomContainerPorts(r)
		case 3:
			c.randomIPs(r, i, &pod)
		}
	}
	c.Cluster.Pods[pod.PodKey] = pod
}

// editPolicies replaces a policy, takes one away or adds one. What is made in the
// i-th place bears the i-th name, so a policy with that name goes.
func editPolicies[P interface {
	comparable
	Ref() policy.Ref
}](r *rand.Rand, policies []P, random func(*rand.Rand, int) P) []P {
	i := r.IntN(len(policies) + 1)
	if r.IntN(3) == 0 && i < len(policies) {
		return slices.Delete(policies, i, i+1)
	}
	made := random(r, i)
	policies = slices.DeleteFunc(policies, func(p P) bool { return p.Ref().Name == made.Ref().Name })
	return append(policies, made)
}
