// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

// The cluster of all tests: namespaces shop (team=blue) and ops, which no object
// describes, node n1 (role=edge, 10.0.9.1, pods in 10.0.0.0/16), and the Services
// shop/db (app=db; 10.96.0.1), shop/legacy (an EndpointSlice with 192.0.2.7) and
// default/kubernetes (an EndpointSlice with 192.0.2.6).
var (
	web  = policy.PodKey{Namespace: "shop", Name: "web"} // app=web, 10.0.0.1, fd00::1; http is 80
	db   = policy.PodKey{Namespace: "shop", Name: "db"}  // app=db, 10.0.0.2, fd00::2, account db; http is 8080, sql 5432
	scan = policy.PodKey{Namespace: "ops", Name: "scan"} // app=web, 10.0.1.1, account default; http is UDP 80
	node = policy.PodKey{Namespace: "ops", Name: "node"} // app=db, 10.0.9.1, of the host's network; http is 80
)

func cluster(policies ...any) *policy.Cluster {
	http := func(protocol policy.Protocol, number uint16) policy.ContainerPort {
		return policy.ContainerPort{Name: "http", Protocol: protocol, Number: number}
	}
	dbService := policy.ObjectKey{Namespace: "shop", Name: "db"}
	c := &policy.Cluster{
		Namespaces: map[string]policy.Namespace{"shop": {Name: "shop", Labels: map[string]string{"team": "blue"}}},
		Pods: map[policy.PodKey]policy.Pod{
			web: {PodKey: web, Labels: map[string]string{"app": "web"}, IPs: addrs("10.0.0.1", "fd00::1"),
				Ports: []policy.ContainerPort{http(policy.TCP, 80)}},
			db: {PodKey: db, Labels: map[string]string{"app": "db"}, IPs: addrs("10.0.0.2", "fd00::2"), ServiceAccount: "db",
				Ports: []policy.ContainerPort{http(policy.TCP, 8080), {Name: "sql", Protocol: policy.TCP, Number: 5432}}},
			scan: {PodKey: scan, Labels: map[string]string{"app": "web"}, IPs: addrs("10.0.1.1"), ServiceAccount: "default",
				Ports: []policy.ContainerPort{http(policy.UDP, 80)}},
			node: {PodKey: node, Labels: map[string]string{"app": "db"}, IPs: addrs("10.0.9.1"), HostNetwork: true, ServiceAccount: "db",
				Ports: []policy.ContainerPort{http(policy.TCP, 80)}},
		},
		Nodes: map[string]policy.Node{"n1": {
			Name: "n1", Labels: map[string]string{"role": "edge"}, IPs: addrs("10.0.9.1"),
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
		}},
		Services: map[policy.ObjectKey]policy.Service{
			dbService: {ObjectKey: dbService, Selector: map[string]string{"app": "db"}, IPs: addrs("10.96.0.1")},
			legacy:    {ObjectKey: legacy, IPs: addrs("10.96.0.2")},
		},
		EndpointSlices: map[policy.ObjectKey]policy.EndpointSlice{
			legacy:    {ObjectKey: legacy, Service: "legacy", IPs: addrs("192.0.2.7")},
			apiServer: {ObjectKey: apiServer, Service: "kubernetes", IPs: addrs("192.0.2.6")},
		},
	}
	for _, p := range policies {
		switch p := p.(type) {
		case *policy.ClusterNetworkPolicy:
			c.ClusterNetworkPolicies = append(c.ClusterNetworkPolicies, p)
		case *policy.NetworkPolicy:
			c.NetworkPolicies = append(c.NetworkPolicies, p)
		case *policy.WorkloadPolicy:
			c.WorkloadPolicies = append(c.WorkloadPolicies, p)
		}
	}
	return c
}

var legacy = policy.ObjectKey{Namespace: "shop", Name: "legacy"}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func labelled(key string, op policy.Operator, values ...string) *policy.Selector {
	return &policy.Selector{Requirements: []policy.Requirement{{Key: key, Operator: op, Values: values}}}
}

func app(name string) *policy.Selector { return labelled("app", policy.In, name) }

var all = &policy.Selector{}

func block(cidr string, except ...string) policy.Peer {
	b := policy.IPBlock{CIDR: netip.MustParsePrefix(cidr)}
	for _, x := range except {
		b.Except = append(b.Except, netip.MustParsePrefix(x))
	}
	return policy.Peer{IPBlock: &b}
}

func from(peers ...policy.Peer) policy.Rule { return policy.Rule{Peers: peers} }

// network is a policy of namespace shop for the pods of app=web that isolates
// ingress.
func network(name string, rules ...policy.Rule) *policy.NetworkPolicy {
	return &policy.NetworkPolicy{
		Namespace: "shop", Name: name, Pods: *app("web"),
		Isolates: [2]bool{policy.Ingress: true}, Rules: [2][]policy.Rule{policy.Ingress: rules},
	}
}

// outbound is network for egress.
func outbound(name string, rules ...policy.Rule) *policy.NetworkPolicy {
	return &policy.NetworkPolicy{
		Namespace: "shop", Name: name, Pods: *app("web"),
		Isolates: [2]bool{policy.Egress: true}, Rules: [2][]policy.Rule{policy.Egress: rules},
	}
}

// workload is an enforced WorkloadPolicy for the same pods that isolates egress.
func workload(name string, rules ...policy.Rule) *policy.WorkloadPolicy {
	return &policy.WorkloadPolicy{
		Namespace: "shop", Name: name, Pods: *app("web"), Mode: policy.Enforce, DenyResponse: policy.Errno,
		Isolates: [2]bool{policy.Egress: true}, Rules: [2][]policy.Rule{policy.Egress: rules},
	}
}

func audited(p *policy.WorkloadPolicy) *policy.WorkloadPolicy {
	p.Mode = policy.Audit
	return p
}

func silent(p *policy.WorkloadPolicy) *policy.WorkloadPolicy {
	p.DenyResponse = policy.Drop
	return p
}

// to is a TCP flow of web to port 80 of an address; in is one from it.
func to(addr string) policy.Flow {
	return policy.Flow{Pod: web, Direction: policy.Egress, Peer: netip.MustParseAddr(addr), Protocol: policy.TCP, Port: 80}
}

func in(addr string) policy.Flow {
	f := to(addr)
	f.Direction = policy.Ingress
	return f
}

func by(f policy.Flow, process string) policy.Flow {
	f.Process = process
	return f
}

func on(f policy.Flow, protocol policy.Protocol, port uint16) policy.Flow {
	f.Protocol, f.Port = protocol, port
	return f
}

var (
	noPolicy = policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
	denied   = policy.Verdict{Reason: policy.ReasonDefaultDeny, Kind: policy.KindNetworkPolicy}
	eperm    = policy.Verdict{Reason: policy.ReasonDefaultDeny, Kind: policy.KindWorkloadPolicy, Errno: true}
	dropped  = policy.Verdict{Reason: policy.ReasonDefaultDeny, Kind: policy.KindWorkloadPolicy}
)

// allowed is an allow by the i-th rule of a policy.
func allowed(p interface{ Ref() policy.Ref }, i int) policy.Verdict {
	return policy.Verdict{Allowed: true, Reason: policy.ReasonPolicy, Rule: policy.RuleRef{Policy: p.Ref(), Index: i}}
}

func auditDenied(v policy.Verdict) policy.Verdict {
	v.AuditDenied = true
	return v
}

type asked struct {
	flow policy.Flow
	want policy.Verdict
}

type table map[string]struct {
	c   *policy.Cluster
	ask []asked
}

func (tests table) run(t *testing.T) {
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, q := range tt.ask {
				if diff := cmp.Diff(q.want, Judge(tt.c, q.flow)); diff != "" {
					t.Errorf("%+v: -want +got:\n%s", q.flow, diff)
				}
			}
		})
	}
}
