// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

func emptyCluster() *policy.Cluster {
	return &policy.Cluster{
		Namespaces: map[string]policy.Namespace{"default": {Name: "default"}},
		Pods:       make(map[policy.PodKey]policy.Pod),
	}
}

// peerCluster has n pods in groups, and as many policies: each opens a port of its
// own, counted from first, to one group. Every address leads to a class, and the
// class to a set of ports in which the frame's port is looked for.
func peerCluster(n, policies, first int) (*policy.Cluster, error) {
	c := emptyCluster()
	for i := range n {
		key := policy.PodKey{Namespace: "default", Name: fmt.Sprintf("peer%d", i)}
		c.Pods[key] = policy.Pod{
			PodKey: key, Labels: map[string]string{"group": fmt.Sprintf("g%d", i%policies)}, IPs: []netip.Addr{peer(i)},
		}
	}
	return c, addPolicies(c, policies, first, func(i int) string {
		return fmt.Sprintf(`{"podSelector": {"matchLabels": {"group": "g%d"}}}`, i)
	})
}

// cidrCluster is peerCluster with blocks of one address in the place of pods.
func cidrCluster(n, policies, first int) (*policy.Cluster, error) {
	c := emptyCluster()
	return c, addPolicies(c, policies, first, func(i int) string {
		var to []string
		for j := i; j < n; j += policies {
			to = append(to, fmt.Sprintf(`{"ipBlock": {"cidr": "%s/32"}}`, peer(j)))
		}
		return strings.Join(to, ", ")
	})
}

// addPolicies adds NetworkPolicies that isolate every pod, as they come from a
// manifest.
func addPolicies(c *policy.Cluster, n, first int, to func(int) string) error {
	for i := range n {
		o, err := manifest.Parse(fmt.Appendf(nil, `{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
"metadata": {"namespace": "default", "name": "np%d"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
"egress": [{"to": [%s], "ports": [{"port": %d}]}]}}`, i, to(i), first+i))
		if err != nil {
			return fmt.Errorf("make policy: %w", err)
		}
		c.NetworkPolicies = append(c.NetworkPolicies, o.Value.(*policy.NetworkPolicy))
	}
	return nil
}
