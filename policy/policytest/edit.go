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
		Namespaces:       maps.Clone(c.Cluster.Namespaces),
		Pods:             maps.Clone(c.Cluster.Pods),
		NetworkPolicies:  slices.Clone(c.Cluster.NetworkPolicies),
		WorkloadPolicies: slices.Clone(c.Cluster.WorkloadPolicies),
	}
	for range 1 + r.IntN(3) {
		switch r.IntN(6) {
		case 0:
			next.editNamespace(r)
		case 1, 2:
			next.editPod(r)
		case 3:
			next.Cluster.NetworkPolicies = editPolicies(r, next.Cluster.NetworkPolicies, next.randomNetworkPolicy)
		case 4:
			next.Cluster.WorkloadPolicies = editPolicies(r, next.Cluster.WorkloadPolicies, next.randomWorkloadPolicy)
		case 5:
			next.Programs = randomPrograms(r)
		}
	}
	return next
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

// editPod changes the labels or addresses of a pod, takes it away or brings it
// back. Local pods stay.
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
	case r.IntN(2) == 0:
		pod.Labels = randomLabels(r, podLabels)
	default:
		c.randomIPs(r, i, &pod)
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
