// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/policy"
)

// TestSeed makes the same cases, edits and flows from the same seed, and edits
// nothing in place.
func TestSeed(t *testing.T) {
	seed := rand.Uint64()
	again := func() (first, edited Case, flows []policy.Flow) {
		r := rand.New(rand.NewPCG(seed, 0))
		first = Random(r, Small)
		edited = first
		for range 20 {
			edited = edited.Edit(r)
			flows = append(flows, edited.Flow(r))
		}
		return first, edited, flows
	}
	first, edited, flows := again()
	first2, edited2, flows2 := again()
	untouched := Random(rand.New(rand.NewPCG(seed, 0)), Small)
	if !reflect.DeepEqual(edited, edited2) || !reflect.DeepEqual(flows, flows2) {
		t.Errorf("seed %d makes different cases", seed)
	}
	if !reflect.DeepEqual(first, untouched) || !reflect.DeepEqual(first, first2) {
		t.Errorf("seed %d: edits changed what was edited", seed)
	}
}

// TestCases: what callers rely on holds through edits, and everything that rules
// and flows can be about comes up.
func TestCases(t *testing.T) {
	seed := rand.Uint64()
	seen := map[string]bool{}
	for round := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, round))
		c := Random(r, Small)
		for range 8 {
			for _, key := range c.Local {
				if pod := c.Cluster.Pods[key]; pod.HostNetwork || len(pod.IPs) != 2 || !pod.IPs[0].Is4() || !pod.IPs[1].Is6() {
					t.Fatalf("seed %d, round %d: local pod %+v", seed, round, pod)
				}
			}
			look(seen, c.Cluster)
			for range 20 {
				lookAtFlow(seen, c.Cluster, c.Flow(r))
			}
			c = c.Edit(r)
		}
	}
	for _, want := range []string{
		"Admin", "Baseline", "Accept", "Deny", "Pass", "Unknown", "ClusterWorkloadPolicy", "Audit", "tie",
		"Namespaces", "Pods", "IPBlock", "ServiceAccounts", "Service", "KubeAPIServer", "Node", "World", "Nodes", "DomainNames",
		"range", "name", "name of any protocol", "SCTP", "ingress process",
		"exec: Kill", "exec: Deny", "exec: Audit", "no exec", "exec: {}", "sha256", "parents", "capabilities: Kill", "capability of a program",
		"file of nobody", "files: Kill", "files: Deny", "files: Audit", "fallback Close", "pattern",
		"flow from a process", "flow to port 0", "flow to a node", "flow to a service", "flow to a backend", "flow to a host-network pod",
	} {
		if !seen[want] {
			t.Errorf("seed %d: no %s", seed, want)
		}
	}
}

func look(seen map[string]bool, c *policy.Cluster) {
	priorities := map[string]bool{}
	for _, p := range c.ClusterNetworkPolicies {
		place := fmt.Sprint(p.Tier, p.Priority)
		seen[string(p.Tier)] = true
		seen["tie"] = seen["tie"] || priorities[place]
		priorities[place] = true
		lookAtRules(seen, p.Rules)
	}
	for _, p := range c.NetworkPolicies {
		lookAtRules(seen, p.Rules)
	}
	for _, p := range c.WorkloadPolicies {
		seen[string(p.Mode)], seen[string(p.Ref().Kind)] = true, true
		lookAtRules(seen, p.Rules)
		lookAtRuntime(seen, p)
		for _, rule := range p.Rules[policy.Ingress] {
			seen["ingress process"] = seen["ingress process"] || len(rule.Processes) > 0
		}
	}
}

func lookAtRuntime(seen map[string]bool, p *policy.WorkloadPolicy) {
	note := func(what string, is bool) { seen[what] = seen[what] || is }
	note("fallback "+string(p.Fallback), true)
	note("no exec", p.Exec == nil)
	if p.Exec != nil {
		note("exec: "+string(p.Exec.Action), true)
		note("exec: {}", len(p.Exec.Allow) == 0)
		for _, rule := range p.Exec.Allow {
			note("sha256", rule.SHA256 != "")
			note("parents", len(rule.Parents) > 0)
			note("pattern", strings.HasSuffix(rule.Path, "/**"))
		}
	}
	if p.Capabilities != nil {
		note("capabilities: "+string(p.Capabilities.Action), true)
		for _, rule := range p.Capabilities.Allow {
			note("capability of a program", len(rule.Processes) > 0)
		}
	}
	for _, rule := range p.Files {
		note("files: "+string(rule.Action), true)
		note("file of nobody", len(rule.Allow) == 0)
	}
}

func lookAtRules(seen map[string]bool, rules [2][]policy.Rule) {
	note := func(what string, is bool) { seen[what] = seen[what] || is }
	for _, rule := range slices.Concat(rules[0], rules[1]) {
		note(string(rule.Action), true)
		note("Unknown", rule.Unknown)
		for _, p := range rule.Peers {
			note("Namespaces", p.Namespaces != nil)
			note("Pods", p.Pods != nil)
			note("IPBlock", p.IPBlock != nil)
			note("ServiceAccounts", p.ServiceAccounts != nil)
			note("Service", p.Service != nil)
			note(string(p.Entity), true)
			note("Nodes", p.Nodes != nil)
			note("DomainNames", p.DomainNames != nil)
		}
		for _, p := range rule.Ports {
			note("range", p.End != 0)
			note("name", p.Name != "")
			note("name of any protocol", p.Name != "" && p.Protocol == policy.AnyProtocol)
			note("SCTP", p.Protocol == policy.SCTP)
		}
	}
}

func lookAtFlow(seen map[string]bool, c *policy.Cluster, f policy.Flow) {
	note := func(what string, is bool) { seen[what] = seen[what] || is }
	note("flow from a process", f.Process != "")
	note("flow to port 0", f.Port == 0 && f.Protocol == policy.TCP)
	for _, n := range c.Nodes {
		note("flow to a node", slices.Contains(n.IPs, f.Peer))
	}
	for _, s := range c.Services {
		note("flow to a service", slices.Contains(s.IPs, f.Peer))
	}
	for _, s := range c.EndpointSlices {
		note("flow to a backend", slices.Contains(s.IPs, f.Peer))
	}
	for _, p := range c.Pods {
		note("flow to a host-network pod", p.HostNetwork && slices.Contains(p.IPs, f.Peer))
	}
}
