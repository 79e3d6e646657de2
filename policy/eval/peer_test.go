// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"testing"

	"github.com/sluice-io/sluice/policy"
)

// TestWorkloadPeers are the peers that the standard kinds do not have.
func TestWorkloadPeers(t *testing.T) {
	peer := func(p policy.Peer) *policy.WorkloadPolicy { return workload("wp", from(p)) }
	service := func(namespace, name string) policy.Peer {
		return policy.Peer{Service: &policy.ObjectKey{Namespace: namespace, Name: name}}
	}
	account := func(namespaces *policy.Selector, names ...string) policy.Peer {
		return policy.Peer{ServiceAccounts: &policy.ServiceAccounts{Namespaces: namespaces, Names: names}}
	}
	yes := allowed(workload("wp"), 0)
	table{
		"serviceAccount":                 {cluster(peer(account(nil, "db", "x"))), []asked{{to("10.0.0.2"), yes}, {to("fd00::2"), yes}, {to("10.0.1.1"), eperm}}},
		"every account of the namespace": {cluster(peer(account(nil))), []asked{{to("10.0.0.2"), yes}, {to("10.0.1.1"), eperm}}},
		"account of other namespaces":    {cluster(peer(account(all, "default"))), []asked{{to("10.0.1.1"), yes}, {to("10.0.0.2"), eperm}}},
		"accounts of the host network":   {cluster(peer(account(all, "db"))), []asked{{to("10.0.9.1"), eperm}}},
		"service by its selector":        {cluster(peer(service("shop", "db"))), []asked{{to("10.0.0.2"), yes}, {to("10.0.9.1"), eperm}, {to("10.96.0.1"), eperm}}},
		"service by its slices":          {cluster(peer(service("shop", "legacy"))), []asked{{to("192.0.2.7"), yes}, {to("10.0.0.2"), eperm}, {to("192.0.2.6"), eperm}}},
		"service that is not there":      {cluster(peer(service("ops", "db"))), []asked{{to("10.0.0.2"), eperm}}},
		"Node":                           {cluster(peer(policy.Peer{Entity: policy.EntityNode})), []asked{{to("10.0.9.1"), yes}, {to("10.0.0.2"), eperm}}},
		"KubeAPIServer":                  {cluster(peer(policy.Peer{Entity: policy.KubeAPIServer})), []asked{{to("192.0.2.6"), yes}, {to("192.0.2.7"), eperm}}},
		"World": {cluster(peer(policy.Peer{Entity: policy.World})), []asked{
			{to("192.0.2.7"), yes}, {to("2001:db8::1"), yes}, {to("10.1.0.1"), yes},
			{to("10.0.0.2"), eperm}, {to("fd00::2"), eperm}, {to("10.0.77.1"), eperm}, {to("10.0.9.1"), eperm}, {to("10.96.0.1"), eperm},
		}},
		"domainNames": {cluster(peer(policy.Peer{DomainNames: []string{"example.com"}})), []asked{{to("192.0.2.1"), eperm}}},
	}.run(t)
}

func TestNodes(t *testing.T) {
	egress := func(s *policy.Selector) *policy.ClusterNetworkPolicy {
		p := admin("nodes", 0)
		p.Rules[policy.Egress] = []policy.Rule{{Action: policy.Deny, Peers: []policy.Peer{{Nodes: s}}}}
		return p
	}
	edge := egress(labelled("role", policy.In, "edge"))
	table{
		"selected":     {cluster(edge), []asked{{to("10.0.9.1"), refused(edge, 0)}, {to("10.0.0.2"), noPolicy}}},
		"every node":   {cluster(egress(all)), []asked{{to("10.0.9.1"), refused(edge, 0)}}},
		"not selected": {cluster(egress(labelled("role", policy.DoesNotExist))), []asked{{to("10.0.9.1"), noPolicy}}},
	}.run(t)
}

// clusterWide makes a ClusterWorkloadPolicy of a policy.
func clusterWide(p *policy.WorkloadPolicy, namespaces *policy.Selector) *policy.WorkloadPolicy {
	p.Namespace, p.Namespaces = "", namespaces
	return p
}

func TestClusterWorkloadPolicy(t *testing.T) {
	pay := policy.Rule{Processes: processes("/bin/pay")}
	wide := clusterWide(workload("wide", policy.Rule{}, pay), all)
	narrow := clusterWide(workload("narrow"), labelled("team", policy.Exists))
	own := workload("own", policy.Rule{}, pay)
	audit := audited(clusterWide(workload("audit"), all))
	fromScan := to("10.0.0.2")
	fromScan.Pod = scan
	table{
		"selects namespaces": {cluster(narrow), []asked{{to("10.0.0.2"), eperm}, {fromScan, noPolicy}}},
		"allows add up":      {cluster(narrow, own), []asked{{to("10.0.0.2"), allowed(own, 0)}}},
		"named by kind": {cluster(own, wide), []asked{
			{to("10.0.0.2"), allowed(wide, 0)}, {by(to("10.0.0.2"), "/bin/pay"), allowed(wide, 1)},
		}},
		"processes first, of all": {cluster(own, clusterWide(workload("x", policy.Rule{}), all)), []asked{
			{by(to("10.0.0.2"), "/bin/pay"), allowed(own, 1)},
		}},
		"audit": {cluster(audit), []asked{{to("10.0.0.2"), auditDenied(noPolicy)}}},
		"no namespace of its own": {cluster(clusterWide(workload("x", from(policy.Peer{Pods: all})), all)), []asked{
			{to("10.0.0.2"), eperm},
		}},
	}.run(t)
}

// TestIngressProcesses: which program may listen and be reached.
func TestIngressProcesses(t *testing.T) {
	p := workload("listen")
	p.Isolates = [2]bool{policy.Ingress: true}
	p.Rules = [2][]policy.Rule{policy.Ingress: {{Processes: processes("/bin/nginx"), Ports: []policy.Port{{Protocol: policy.TCP, Number: 80}}}}}
	table{"listening": {cluster(p), []asked{
		{by(in("10.0.0.2"), "/bin/nginx"), allowed(p, 0)}, {by(in("10.0.0.2"), "/bin/sh"), eperm}, {in("10.0.0.2"), eperm},
		{on(by(in("10.0.0.2"), "/bin/nginx"), policy.TCP, 81), eperm}, {to("10.0.0.2"), noPolicy},
	}}}.run(t)
}
