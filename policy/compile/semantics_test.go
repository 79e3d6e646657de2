// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

// market is the shop with ports on its pods, nodes, Services and a pod in another
// namespace.
func market(policies ...any) Input {
	in := shop(policies...)
	ips := func(list ...string) (out []netip.Addr) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	port := func(name string, p policy.Protocol, number uint16) policy.ContainerPort {
		return policy.ContainerPort{Name: name, Protocol: p, Number: number}
	}
	c := in.Cluster
	for key, ports := range map[policy.PodKey][]policy.ContainerPort{
		web: {port("http", policy.TCP, 80)},
		db:  {port("http", policy.TCP, 8080), port("http", policy.UDP, 53)},
	} {
		pod := c.Pods[key]
		pod.Ports = ports
		c.Pods[key] = pod
	}
	other := policy.PodKey{Namespace: "other", Name: "batch"}
	c.Pods[other] = policy.Pod{PodKey: other, IPs: ips("10.0.9.1"), ServiceAccount: "robot"}
	host := policy.PodKey{Namespace: "other", Name: "proxy"}
	c.Pods[host] = policy.Pod{PodKey: host, IPs: ips("192.168.0.1"), HostNetwork: true, ServiceAccount: "robot"}
	c.Nodes = map[string]policy.Node{
		"a": {Name: "a", Labels: map[string]string{"zone": "a"}, IPs: ips("192.168.0.1"), PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}},
		"b": {Name: "b", Labels: map[string]string{"zone": "b"}, IPs: ips("192.168.0.2")},
	}
	c.Services = map[policy.ObjectKey]policy.Service{
		{Namespace: "shop", Name: "db"}: {
			Selector: map[string]string{"app": "db"}, IPs: ips("10.96.0.1"),
			Ports: []policy.ServicePort{{Protocol: policy.TCP, Number: 1, NodePort: 30001}, {Protocol: policy.UDP, Number: 2}},
		},
		{Namespace: "shop", Name: "ext"}: {
			IPs:   ips("10.96.0.2", "203.0.113.9", "10.96.0.1"),
			Ports: []policy.ServicePort{{Protocol: policy.TCP, Number: 1, NodePort: 30000}},
		},
	}
	c.EndpointSlices = map[policy.ObjectKey]policy.EndpointSlice{
		{Namespace: "shop", Name: "ext-1"}:           {Service: "ext", IPs: ips("198.51.100.1", "10.0.9.1")},
		{Namespace: "other", Name: "ext-1"}:          {Service: "ext", IPs: ips("198.51.100.2")},
		{Namespace: "default", Name: "kubernetes-1"}: {Service: "kubernetes", IPs: ips("192.168.0.2")},
	}
	return in
}

// asked are addresses of the market, and some of the world.
var asked = []string{
	"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.9.1", "10.0.7.7", "10.96.0.1", "10.96.0.2", "192.168.0.1", "192.168.0.2",
	"198.51.100.1", "198.51.100.2", "203.0.113.9", "2001:db8::1",
}

// reached are those of the asked addresses that a pod may reach, or be reached from.
func reached(im *Image, pod policy.PodKey, d policy.Direction, p policy.Protocol, port uint16) []string {
	var out []string
	for _, addr := range asked {
		f := policy.Flow{Pod: pod, Direction: d, Peer: netip.MustParseAddr(addr), Protocol: p, Port: port}
		if interpret(im, question{ruleSet: im.Pods[pod], Flow: f}).Allowed {
			out = append(out, addr)
		}
	}
	return out
}

func egress(rules ...policy.Rule) *policy.WorkloadPolicy {
	p := workload("out", "web")
	p.Isolates[policy.Egress], p.Rules[policy.Egress] = true, rules
	return p
}

func TestPeers(t *testing.T) {
	service := func(name string) policy.Peer {
		return policy.Peer{Service: &policy.ObjectKey{Namespace: "shop", Name: name}}
	}
	accounts := func(n *policy.Selector, names ...string) policy.Peer {
		return policy.Peer{ServiceAccounts: &policy.ServiceAccounts{Namespaces: n, Names: names}}
	}
	for name, tt := range map[string]struct {
		peer policy.Peer
		want []string
	}{
		"service by selector":  {service("db"), []string{"10.0.0.2"}},
		"service by endpoints": {service("ext"), []string{"10.0.9.1", "198.51.100.1"}},
		"service that is not":  {service("none"), nil},
		"domain names":         {policy.Peer{DomainNames: []string{"example.com"}}, nil},
		"API server":           {policy.Peer{Entity: policy.KubeAPIServer}, []string{"192.168.0.2"}},
		"nodes":                {policy.Peer{Entity: policy.EntityNode}, []string{"192.168.0.1", "192.168.0.2"}},
		"some nodes":           {policy.Peer{Nodes: ptr(in1("zone", "a"))}, []string{"192.168.0.1"}},
		"world":                {policy.Peer{Entity: policy.World}, []string{"198.51.100.1", "198.51.100.2", "2001:db8::1"}},
		"own accounts":         {accounts(nil), []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}},
		"accounts":             {accounts(&policy.Selector{}, "robot", "nobody"), []string{"10.0.9.1"}},
		"block":                {block("10.0.0.0/16", "10.0.0.2/31"), []string{"10.0.0.1", "10.0.9.1", "10.0.7.7"}},
	} {
		im := mustCompile(t, New(new(IDs)), market(egress(policy.Rule{Peers: []policy.Peer{tt.peer}})))
		if diff := cmp.Diff(tt.want, reached(im, web, policy.Egress, policy.TCP, 1)); diff != "" {
			t.Errorf("%s: -want +reached:\n%s", name, diff)
		}
	}
}

func TestEgressPortNames(t *testing.T) {
	everywhere := policy.Peer{Namespaces: &policy.Selector{}}
	ports := func(name string, p policy.Protocol) []policy.Port { return []policy.Port{{Name: name, Protocol: p}} }
	for _, tt := range []struct {
		peers []policy.Peer
		ports []policy.Port
		want  map[policy.Port][]string
	}{
		{nil, ports("http", policy.TCP), map[policy.Port][]string{{Number: 80}: {"10.0.0.1"}, {Number: 8080}: {"10.0.0.2"}}},
		{nil, ports("http", policy.AnyProtocol), map[policy.Port][]string{
			{Number: 80}: {"10.0.0.1"}, {Number: 8080}: {"10.0.0.2"}, {Protocol: policy.UDP, Number: 53}: {"10.0.0.2"},
		}},
		{[]policy.Peer{pods("db")}, ports("http", policy.TCP), map[policy.Port][]string{{Number: 8080}: {"10.0.0.2"}}},
		{[]policy.Peer{block("10.0.0.0/31")}, ports("http", policy.TCP), map[policy.Port][]string{{Number: 80}: {"10.0.0.1"}}},
		{[]policy.Peer{everywhere}, ports("http", policy.SCTP), map[policy.Port][]string{}},
		{[]policy.Peer{everywhere}, ports("other", policy.TCP), map[policy.Port][]string{}},
		{[]policy.Peer{pods("db")}, append(ports("http", policy.TCP), policy.Port{Protocol: policy.TCP, Number: 80}),
			map[policy.Port][]string{{Number: 80}: {"10.0.0.2"}, {Number: 8080}: {"10.0.0.2"}}},
	} {
		im := mustCompile(t, New(new(IDs)), market(egress(policy.Rule{Peers: tt.peers, Ports: tt.ports})))
		got := map[policy.Port][]string{}
		for _, port := range []policy.Port{{Number: 80}, {Number: 8080}, {Number: 53}, {Protocol: policy.UDP, Number: 53}, {}} {
			p := policy.TCP
			if port.Protocol != 0 {
				p = port.Protocol
			}
			if list := reached(im, web, policy.Egress, p, port.Number); list != nil {
				got[port] = list
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v, %+v: -want +reached:\n%s", tt.peers, tt.ports, diff)
		}
	}
}

// TestIngressPortNames gives pods that a policy selects their own numbers; a name
// that a pod does not have stands for no port.
func TestIngressPortNames(t *testing.T) {
	p := ingress("http", "web", policy.Rule{Ports: []policy.Port{{Name: "http", Protocol: policy.TCP}}})
	p.Pods = policy.Selector{}
	im := mustCompile(t, New(new(IDs)), market(p))
	got := map[string]bool{}
	for _, key := range []policy.PodKey{web, db, lone} {
		for _, port := range []uint16{80, 8080} {
			if reached(im, key, policy.Ingress, policy.TCP, port) != nil {
				got[fmt.Sprintf("%s:%d", key.Name, port)] = true
			}
		}
	}
	if diff := cmp.Diff(map[string]bool{"web:80": true, "db:8080": true}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOrder(t *testing.T) {
	cnp := func(name string, tier policy.Tier, priority int, rules ...policy.Rule) *policy.ClusterNetworkPolicy {
		return &policy.ClusterNetworkPolicy{
			Name: name, Tier: tier, Priority: priority, Pods: in1("app", "web"),
			Rules: [2][]policy.Rule{policy.Egress: rules},
		}
	}
	rule := func(action policy.RuleAction) policy.Rule {
		return policy.Rule{Action: action, Peers: []policy.Peer{{Namespaces: &policy.Selector{}}}}
	}
	unknown := func(action policy.RuleAction) policy.Rule { return policy.Rule{Action: action, Unknown: true} }
	verdict := func(allowed bool, by string, index int) policy.Verdict {
		ref := policy.Ref{Kind: policy.KindClusterNetworkPolicy, Name: by}
		return policy.Verdict{Allowed: allowed, Reason: policy.ReasonPolicy, Rule: policy.RuleRef{Policy: ref, Index: index}}
	}
	denied := policy.Verdict{Reason: policy.ReasonDefaultDeny, Kind: policy.KindWorkloadPolicy, Errno: true}
	open := policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
	for name, tt := range map[string]struct {
		policies []any
		want     policy.Verdict
	}{
		"priority":         {[]any{cnp("a", policy.Admin, 2, rule(policy.Deny)), cnp("b", policy.Admin, 1, rule(policy.Accept))}, verdict(true, "b", 0)},
		"name":             {[]any{cnp("b", policy.Admin, 1, rule(policy.Deny)), cnp("a", policy.Admin, 1, rule(policy.Accept))}, verdict(true, "a", 0)},
		"index":            {[]any{cnp("a", policy.Admin, 1, unknown(policy.Accept), rule(policy.Deny), rule(policy.Accept))}, verdict(false, "a", 1)},
		"pass":             {[]any{cnp("a", policy.Admin, 1, rule(policy.Pass), rule(policy.Accept)), egress()}, denied},
		"pass to baseline": {[]any{cnp("a", policy.Admin, 1, rule(policy.Pass)), cnp("b", policy.Baseline, 1, rule(policy.Deny))}, verdict(false, "b", 0)},
		"pass baseline":    {[]any{cnp("a", policy.Baseline, 1, rule(policy.Pass), rule(policy.Deny))}, open},
		"isolated":         {[]any{cnp("a", policy.Baseline, 1, rule(policy.Accept)), egress()}, denied},
		"unknown pass":     {[]any{cnp("a", policy.Admin, 1, unknown(policy.Pass), rule(policy.Accept))}, verdict(false, "a", 0)},
		"unknown accept":   {[]any{cnp("a", policy.Admin, 1, unknown(policy.Accept))}, open},
	} {
		im := mustCompile(t, New(new(IDs)), market(tt.policies...))
		f := policy.Flow{Pod: web, Direction: policy.Egress, Peer: netip.MustParseAddr("10.0.0.2"), Protocol: policy.TCP, Port: 1}
		if diff := cmp.Diff(tt.want, interpret(im, question{ruleSet: im.Pods[web], Flow: f})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		if im.RuleSets[im.Pods[web]].Active[policy.Ingress] != [Layers]bool{} {
			t.Errorf("%s: active on ingress", name)
		}
	}
}

// TestMembershipKeepsIDs changes what entries hold, and no rule set.
func TestMembershipKeepsIDs(t *testing.T) {
	p := egress(policy.Rule{
		Peers: []policy.Peer{{Service: &policy.ObjectKey{Namespace: "shop", Name: "db"}}, {Entity: policy.World}},
	}, policy.Rule{Ports: []policy.Port{{Name: "http", Protocol: policy.TCP}}})
	c := New(new(IDs))
	before := mustCompile(t, c, market(p))
	in := market(p)
	in.Cluster.Services = map[policy.ObjectKey]policy.Service{
		{Namespace: "shop", Name: "db"}: {Selector: map[string]string{"app": "lone"}},
	}
	in.Cluster.Nodes = nil
	pod := in.Cluster.Pods[db]
	pod.Ports = []policy.ContainerPort{{Name: "http", Protocol: policy.TCP, Number: 81}}
	in.Cluster.Pods[db] = pod
	after := mustCompile(t, c, in)
	if before.Pods[web] != after.Pods[web] {
		t.Errorf("rule set %d became %d", before.Pods[web], after.Pods[web])
	}
	want := []string{"10.0.0.3", "10.0.7.7", "10.96.0.1", "10.96.0.2", "192.168.0.2", "198.51.100.1", "198.51.100.2", "203.0.113.9", "2001:db8::1"}
	if diff := cmp.Diff(want, reached(after, web, policy.Egress, policy.TCP, 80)[1:]); diff != "" {
		t.Errorf("-want +reached:\n%s", diff)
	}
	if got := reached(after, web, policy.Egress, policy.TCP, 81); got[0] != "10.0.0.2" {
		t.Errorf("port 81 reaches %v", got)
	}
}

// TestNumberComes gives a port name another number on a pod, and changes nothing
// else.
func TestNumberComes(t *testing.T) {
	p := egress(policy.Rule{Ports: []policy.Port{{Name: "http", Protocol: policy.TCP}}})
	c, in := New(new(IDs)), market(p)
	mustCompile(t, c, in)
	in = market(p)
	pod := in.Cluster.Pods[db]
	pod.Ports = []policy.ContainerPort{{Name: "http", Protocol: policy.TCP, Number: 81}}
	in.Cluster.Pods[db] = pod
	im := mustCompile(t, c, in)
	if diff := cmp.Diff([]string{"10.0.0.2"}, reached(im, web, policy.Egress, policy.TCP, 81)); diff != "" {
		t.Errorf("-want +reached:\n%s", diff)
	}
}

func TestSourcesAndServices(t *testing.T) {
	sources := func(name string, mode policy.Mode, cidrs ...string) *policy.WorkloadPolicy {
		p := workload(name, "web")
		p.Namespace, p.Namespaces, p.Mode = "", ptr(in1(nameLabel, "shop")), mode
		for _, s := range cidrs {
			p.AllowedSources = append(p.AllowedSources, netip.MustParsePrefix(s))
		}
		return p
	}
	elsewhere := sources("elsewhere", policy.Enforce, "10.4.0.0/16")
	elsewhere.Namespaces = ptr(in1(nameLabel, "other"))
	im := mustCompile(t, New(new(IDs)), market(
		sources("b", policy.Enforce, "10.2.0.0/16", "10.1.0.0/16"), sources("a", policy.Enforce, "10.1.0.0/16"),
		sources("audit", policy.Audit, "10.3.0.0/16"), elsewhere,
	))
	want := &Image{
		Sources:   map[policy.PodKey][]netip.Prefix{web: {netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16")}},
		Services:  []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.96.0.2"), netip.MustParseAddr("203.0.113.9")},
		NodePorts: []NodePort{{policy.TCP, 30000}, {policy.TCP, 30001}},
	}
	if diff := diffImages(want, &Image{Sources: im.Sources, Services: im.Services, NodePorts: im.NodePorts}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
