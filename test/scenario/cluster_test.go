// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// named is a container port as a pod's manifest has it.
func named(name string, port int) map[string]any {
	return map[string]any{"containers": []any{map[string]any{
		"name": "c", "image": "none", "ports": []any{map[string]any{"name": name, "containerPort": port}}}}}
}

// TestClusterNetworkPolicy has the tiers before and after the namespaced policies.
func TestClusterNetworkPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	for _, port := range []uint16{80, 81} {
		w.serve(server, "tcp", port)
	}
	reach := func(what string, of80, of81 int) {
		t.Helper()
		var tries []try
		for _, ip := range []netip.Addr{server.IPv4(), server.IPv6()} {
			tries = append(tries, try{of80, []string{"dial", "tcp", at(ip, 80)}}, try{of81, []string{"dial", "tcp", at(ip, 81)}})
		}
		w.expectAll(what, client, tries)
	}
	const toServer = `to: [{pods: {podSelector: {matchLabels: {app: server}}}}]`
	const subject = `subject: {pods: {podSelector: {matchLabels: {app: client}}}}`
	put := func(name, tier, priority, action, protocols string) {
		t.Helper()
		w.putCluster("ClusterNetworkPolicy", name, `spec: {tier: `+tier+`, priority: `+priority+`, `+subject+
			`, egress: [{action: `+action+`, `+toServer+protocols+`}]}`)
	}
	const on80 = `, protocols: [{tcp: {destinationPort: {number: 80}}}]`
	put("deny", "Admin", "20", "Deny", on80)
	reach("denied", silence, ok)
	w.flow(client, "a flow that the rule denied", func(f *rpc.Flow) bool {
		return f.Verdict == "denied" && f.Reason == "policy" && f.Rule != nil && f.Rule.Kind == "ClusterNetworkPolicy" && f.Rule.Name == "deny"
	})
	put("first", "Admin", "10", "Accept", on80)
	reach("accepted before", ok, ok)
	w.putAs("NetworkPolicy", "none", `{podSelector: {}, policyTypes: [Egress]}`)
	reach("accepted before NetworkPolicies", ok, silence)
	w.putAs("WorkloadPolicy", "none", workload(`egress: {}`))
	reach("accepted before WorkloadPolicies, at the socket too", ok, eperm)
	put("first", "Admin", "10", "Pass", on80)
	reach("passed over", eperm, eperm)
	for _, kind := range []string{"NetworkPolicy", "WorkloadPolicy"} {
		if _, err := w.node.Client().Delete(t.Context(), kind, "shop", "none"); err != nil {
			t.Fatal(err)
		}
	}
	reach("passed over, and nothing else", ok, ok)
	put("base", "Baseline", "0", "Deny", "")
	reach("baseline", silence, silence)
	w.put("NetworkPolicy", `{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 81}]}]}`)
	reach("a NetworkPolicy in the baseline's place", silence, ok)
	put("first", "Admin", "10", "Deny", "")
	reach("denied before all", silence, silence)
}

// TestPorts has named ports that differ from pod to pod, ranges and node addresses.
func TestPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	labels := map[string]string{"app": "server"}
	one := w.add(harness.PodSpec{Namespace: "shop", Name: "one", Labels: labels, PodSpec: named("web", 80)})
	two := w.add(harness.PodSpec{Namespace: "shop", Name: "two", Labels: labels, PodSpec: named("web", 8080)})
	client := w.pod("client")
	for _, p := range []*harness.Pod{one, two} {
		for _, port := range []uint16{80, 8080, 8443} {
			w.serve(p, "tcp", port)
		}
	}
	dial := func(what string, want map[*harness.Pod][3]int) {
		t.Helper()
		var tries []try
		for p, statuses := range want {
			for i, port := range []uint16{80, 8080, 8443} {
				tries = append(tries, try{statuses[i], []string{"dial", "tcp", at(p.IPv4(), port)}},
					try{statuses[i], []string{"dial", "tcp", at(p.IPv6(), port)}})
			}
		}
		w.expectAll(what, client, tries)
	}
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{ports: [{port: web}]}]}`)
	dial("egress by name", map[*harness.Pod][3]int{one: {ok, silence, silence}, two: {silence, ok, silence}})
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, ingress: [{ports: [{port: web}]}]}`)
	dial("ingress by name", map[*harness.Pod][3]int{one: {ok, silence, silence}, two: {silence, ok, silence}})
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, ingress: [{ports: [{port: 8001, endPort: 9000}]}]}`)
	dial("a range", map[*harness.Pod][3]int{one: {silence, ok, ok}, two: {silence, ok, ok}})
}

// TestPeersByName has peers by service account, Service and node.
func TestPeersByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{PTP: true})
	server := w.add(harness.PodSpec{Namespace: "shop", Name: "server", Labels: map[string]string{"app": "server"},
		PodSpec: map[string]any{"serviceAccountName": "web", "containers": []any{}}})
	client := w.pod("client")
	w.serve(server, "tcp", 80)
	dial := []string{"dial", "tcp", at(server.IPv4(), 80)}
	for _, c := range []struct {
		to   string
		want int
	}{
		{`{serviceAccount: {names: [web]}}`, ok},
		{`{serviceAccount: {names: [other]}}`, eperm},
		{`{service: {namespace: shop, name: front}}`, ok},
		{`{service: {namespace: shop, name: other}}`, eperm},
		{`{entity: World}`, eperm},
		{`{entity: Node}`, eperm},
	} {
		w.putAs("Service", "front", `{selector: {app: server}, clusterIP: 10.96.0.1, ports: [{port: 80}]}`)
		w.put("WorkloadPolicy", workload(`egress: {allow: [{to: [`+c.to+`]}]}`))
		w.run(c.to, func(w *world) { w.expect(c.want, client, dial...) })
	}
}
