// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

var web, db, lone = key("web"), key("db"), key("lone")

func key(name string) policy.PodKey { return policy.PodKey{Namespace: "shop", Name: name} }

// shop has the pods web, db and lone, each with its name as label app.
func shop(policies ...any) Input {
	in := Input{Cluster: &policy.Cluster{Pods: map[policy.PodKey]policy.Pod{}}, Local: []policy.PodKey{web, db, lone}}
	for i, k := range in.Local {
		in.Cluster.Pods[k] = policy.Pod{
			PodKey: k, Labels: map[string]string{"app": k.Name},
			IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)})}, ServiceAccount: "default",
		}
	}
	for _, p := range policies {
		switch p := p.(type) {
		case *policy.NetworkPolicy:
			in.Cluster.NetworkPolicies = append(in.Cluster.NetworkPolicies, p)
		case *policy.ClusterNetworkPolicy:
			in.Cluster.ClusterNetworkPolicies = append(in.Cluster.ClusterNetworkPolicies, p)
		case *policy.WorkloadPolicy:
			in.Cluster.WorkloadPolicies = append(in.Cluster.WorkloadPolicies, p)
		}
	}
	return in
}

func ingress(name, app string, rules ...policy.Rule) *policy.NetworkPolicy {
	return &policy.NetworkPolicy{
		Namespace: "shop", Name: name, Pods: in1("app", app),
		Isolates: [2]bool{policy.Ingress: true}, Rules: [2][]policy.Rule{policy.Ingress: rules},
	}
}

func workload(name, app string) *policy.WorkloadPolicy {
	return &policy.WorkloadPolicy{
		Namespace: "shop", Name: name, Pods: in1("app", app), Mode: policy.Enforce, DenyResponse: policy.Errno,
	}
}

func pods(app string) policy.Peer { return policy.Peer{Pods: ptr(in1("app", app))} }

func block(cidr string, except ...string) policy.Peer {
	b := policy.IPBlock{CIDR: netip.MustParsePrefix(cidr)}
	for _, x := range except {
		b.Except = append(b.Except, netip.MustParsePrefix(x))
	}
	return policy.Peer{IPBlock: &b}
}

func TestUnselectedPodsAreOpen(t *testing.T) {
	none := workload("none", "lone")
	none.Escalation = []policy.EscalationRule{{Classes: []policy.Class{policy.Privileges}, Action: policy.Ignore}}
	in := shop(ingress("deny", "web"), none)
	host := in.Cluster.Pods[db]
	host.HostNetwork = true
	in.Cluster.Pods[db] = host
	in.Cluster.NetworkPolicies = append(in.Cluster.NetworkPolicies, ingress("host", "db"))
	im := mustCompile(t, New(new(IDs)), in)

	if im.Pods[db] != RuleSetOpen || im.Pods[lone] != RuleSetOpen {
		t.Errorf("rule sets of a host-network pod and of one whose policy asks for nothing: %d, %d", im.Pods[db], im.Pods[lone])
	}
	want := RuleSet{Active: [2][Layers]bool{policy.Ingress: {NetworkPolicies: true}}}
	if diff := cmp.Diff(want, im.RuleSets[im.Pods[web]]); diff != "" {
		t.Errorf("default deny: -want +got:\n%s", diff)
	}
	selected := map[policy.PodKey][]policy.Ref{
		web:  {{Kind: policy.KindNetworkPolicy, Namespace: "shop", Name: "deny"}},
		lone: {{Kind: policy.KindWorkloadPolicy, Namespace: "shop", Name: "none"}},
	}
	if diff := cmp.Diff(selected, im.Selected); diff != "" {
		t.Errorf("Selected: -want +got:\n%s", diff)
	}
	if len(im.RuleSets) != 1 || len(im.Edges)+len(im.Ports)+len(im.Rules) != 0 {
		t.Errorf("tables hold more than the default deny: %+v", im)
	}
}

func TestUnknownPodHasNoLabels(t *testing.T) {
	p := ingress("deny", "web")
	p.Pods = policy.Selector{}
	in := shop(p, ingress("web", "web"))
	in.Local = []policy.PodKey{key("unknown")}
	im := mustCompile(t, New(new(IDs)), in)
	if got := im.Selected[key("unknown")]; !slices.Equal(got, []policy.Ref{p.Ref()}) {
		t.Errorf("selected by %v", got)
	}
}

func TestClasses(t *testing.T) {
	im := mustCompile(t, New(new(IDs)), shop(
		ingress("a", "web", policy.Rule{Peers: []policy.Peer{
			pods("db"), block("10.0.0.0/8", "10.0.0.0/30"), block("fd00::/8"),
		}}),
	))
	prefix := func(s string) uint32 { return im.Prefixes[netip.MustParsePrefix(s)] }
	if len(im.Prefixes) != 3 || prefix("10.0.0.0/30") != ClassNone || prefix("10.0.0.0/8") == ClassNone ||
		prefix("10.0.0.0/8") == prefix("fd00::/8") {
		t.Errorf("prefixes: %v", im.Prefixes)
	}
	// web and lone are excepted and selected by nothing; db is selected.
	peers := im.Peers[netip.MustParseAddr("10.0.0.2")]
	if len(im.Peers) != 1 || peers == ClassNone || peers == prefix("10.0.0.0/8") {
		t.Errorf("peers: %v", im.Peers)
	}
	if len(im.Edges) != 3 {
		t.Errorf("edges: %v", im.Edges)
	}
}

// TestEdgeEqualToAnyPeer leaves out an edge whose rules grant what AnyPeer grants
// by the same first rules.
func TestEdgeEqualToAnyPeer(t *testing.T) {
	http := []policy.Port{{Protocol: policy.TCP, Number: 80}}
	im := mustCompile(t, New(new(IDs)), shop(ingress("a", "web",
		policy.Rule{Ports: http},
		policy.Rule{Ports: http, Peers: []policy.Peer{pods("db")}},
	)))
	set := im.RuleSets[im.Pods[web]].AnyPeer[policy.Ingress][NetworkPolicies]
	if len(im.Edges) != 0 || len(im.Ports) != 1 || im.Ports[PortKey{set.ID, policy.TCP, 16, 80}].Rule == 0 {
		t.Errorf("edges %v, ports %v", im.Edges, im.Ports)
	}
}

// Rule sets that differ in one layer share the edges of the others.
func TestListsAreShared(t *testing.T) {
	wide := &policy.ClusterNetworkPolicy{Name: "wide", Tier: policy.Admin, Rules: [2][]policy.Rule{policy.Egress: {
		{Action: policy.Deny, Peers: []policy.Peer{block("10.1.0.0/16")}},
		{Action: policy.Deny, Peers: []policy.Peer{block("10.2.0.0/16")}, Ports: []policy.Port{{Protocol: policy.TCP, Number: 22}}},
	}}}
	c := New(new(IDs))
	alone := mustCompile(t, c, shop(wide))
	var im *Image
	for range 2 { // the second is without what retires
		im = mustCompile(t, c, shop(wide, ingress("a", "web"), ingress("b", "db", policy.Rule{})))
	}
	if len(im.RuleSets) != 3 {
		t.Errorf("%d rule sets, want 3", len(im.RuleSets))
	}
	if diff := cmp.Diff(alone.Edges, im.Edges); diff != "" || len(im.Edges) != 2 {
		t.Errorf("edges of one rule set and of three (-one +three):\n%s", diff)
	}
}

func TestSpecificEntriesIncludeWider(t *testing.T) {
	p := workload("w", "web")
	p.Isolates[policy.Egress] = true
	p.Rules[policy.Egress] = []policy.Rule{
		{Processes: []policy.Process{{Path: "/bin/a"}}},
		{Ports: []policy.Port{{Protocol: policy.TCP}}, Processes: []policy.Process{{Path: "/bin/b"}}},
		{Ports: []policy.Port{{Protocol: policy.TCP, Number: 443}}},
	}
	in := shop(p)
	in.Programs = []Program{{Paths: []string{"/bin/b", "/bin/a", "/bin/b"}}, {Paths: []string{"/bin/gone", "/bin/b"}}, {Paths: []string{"/bin/gone"}}, {}}
	im := mustCompile(t, New(new(IDs)), in)

	set := im.RuleSets[im.Pods[web]].AnyPeer[policy.Egress][WorkloadPolicies]
	type answer struct{ Every, A, B, Both int }
	rule := func(id uint32) int {
		if id == 0 {
			return -1
		}
		return im.Rules[id].Index
	}
	got := map[PortKey]answer{}
	for k, g := range im.Ports {
		k.Set = 0
		by := func(program uint32) int { return rule(im.Processes[ProcessKey{g.Processes, program}]) }
		got[k] = answer{rule(g.Rule), by(im.Paths["/bin/a"]), by(im.Paths["/bin/b"]), by(im.Programs[0])}
	}
	want := map[PortKey]answer{
		{}:                     {-1, 0, -1, 0},
		{Protocol: policy.TCP}: {-1, 0, 1, 0},
		{Protocol: policy.TCP, Bits: 16, Port: 443}: {2, 0, 1, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" || set.Lengths != 1<<16|1|filterBit(policy.TCP, 443) {
		t.Errorf("set %+v: -want +got:\n%s", set, diff)
	}
	if diff := cmp.Diff(im.Programs[1:], []uint32{im.Paths["/bin/b"], 0, 0}); diff != "" {
		t.Errorf("programs: %s", diff)
	}
}

// TestSpellingDoesNotMatter gives the same ids to policies that say the same.
func TestSpellingDoesNotMatter(t *testing.T) {
	selector := func(reversed bool) *policy.Selector {
		values := []string{"db", "lone"}
		list := []policy.Requirement{
			{Key: "app", Operator: policy.In, Values: values},
			{Key: "app", Operator: policy.Exists},
		}
		if reversed {
			list[0].Values = []string{"lone", "db", "lone"}
			slices.Reverse(list)
		}
		return &policy.Selector{Requirements: list}
	}
	ids := new(IDs)
	a := shop(ingress("a", "web", policy.Rule{
		Ports: []policy.Port{{Protocol: policy.TCP, Number: 1}, {Protocol: policy.UDP}},
		Peers: []policy.Peer{{Pods: selector(false)}, block("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16")},
	}))
	b := shop(ingress("a", "web", policy.Rule{
		Ports: []policy.Port{{Protocol: policy.UDP}, {Protocol: policy.TCP, Number: 1}, {Protocol: policy.UDP}},
		Peers: []policy.Peer{
			block("10.0.0.0/8", "10.2.0.0/16", "10.1.0.0/16"),
			{Pods: selector(true), Namespaces: ptr(in1(nameLabel, "shop"))},
		},
	}))
	first, second := mustCompile(t, New(ids), a), mustCompile(t, New(ids), b)
	if diff := diffImages(first, second); diff != "" {
		t.Errorf("-one spelling +other:\n%s", diff)
	}
}

func TestCompileRefuses(t *testing.T) {
	peer := func(p policy.Peer) Input { return shop(ingress("a", "web", policy.Rule{Peers: []policy.Peer{p}})) }
	rule := func(r policy.Rule) Input { return shop(ingress("a", "web", r)) }
	both := block("10.0.0.0/8")
	both.Pods = &policy.Selector{}
	mapped := shop()
	mapped.Cluster.Pods[web] = policy.Pod{PodKey: web, IPs: []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}}
	operator := ingress("a", "web")
	operator.Pods.Requirements[0].Operator = "Like"
	mode, response, action := workload("w", "web"), workload("w", "web"), workload("w", "web")
	mode.Mode, response.DenyResponse = "", "Reset"
	action.Escalation = []policy.EscalationRule{{Action: "Deny"}}
	wide := workload("w", "web")
	wide.Namespace, wide.Namespaces = "", &policy.Selector{}
	wide.Rules[policy.Ingress] = []policy.Rule{{Peers: []policy.Peer{pods("db")}}}
	sources := workload("w", "web")
	sources.AllowedSources = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}
	path := workload("w", "web")
	path.Rules[policy.Egress] = []policy.Rule{{Processes: []policy.Process{{}}}}
	refused := func(change func(*policy.WorkloadPolicy)) Input {
		p := acts("w", "web")
		p.Exec = exec(policy.Kill, "/bin/a")
		change(p)
		return shop(p)
	}
	cnp := func(tier policy.Tier, priority int, rules ...policy.Rule) Input {
		return shop(&policy.ClusterNetworkPolicy{Name: "c", Tier: tier, Priority: priority, Rules: [2][]policy.Rule{rules}})
	}
	port := func(p policy.Port) Input { return rule(policy.Rule{Ports: []policy.Port{p}}) }
	cidr, unnumbered := shop(), shop()
	cidr.Cluster.Nodes = map[string]policy.Node{"a": {PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}}}
	unnumbered.Cluster.Pods[web] = policy.Pod{PodKey: web, Ports: []policy.ContainerPort{{Name: "http", Protocol: policy.TCP}}}

	for _, tt := range []struct {
		in   Input
		want string
	}{
		{shop(ingress("a", "web"), ingress("a", "db")), "NetworkPolicy/shop/a: there twice"},
		{peer(block("10.0.0.1/8")), "prefix 10.0.0.1/8"},
		{peer(block("::ffff:10.0.0.0/104")), "prefix ::ffff:10.0.0.0/104"},
		{peer(policy.Peer{IPBlock: &policy.IPBlock{}}), "prefix invalid"},
		{peer(block("10.0.0.0/8", "10.0.0.0/8")), "exception 10.0.0.0/8"},
		{peer(block("10.0.0.0/8", "11.0.0.0/16")), "exception 11.0.0.0/16"},
		{peer(both), "2 groups"},
		{peer(policy.Peer{Namespaces: &operator.Pods}), `operator "Like"`},
		{peer(policy.Peer{}), "0 groups"},
		{peer(policy.Peer{Entity: "Internet"}), `entity "Internet"`},
		{peer(policy.Peer{ServiceAccounts: &policy.ServiceAccounts{Namespaces: &operator.Pods}}), `operator "Like"`},
		{peer(policy.Peer{Nodes: &operator.Pods}), `operator "Like"`},
		{port(policy.Port{Number: 80}), "port 80 of every protocol"},
		{port(policy.Port{Protocol: policy.TCP, Number: 80, End: 80}), "port range 80 to 80"},
		{port(policy.Port{Protocol: policy.TCP, End: 80}), "port range 0 to 80"},
		{port(policy.Port{Protocol: policy.TCP, Number: 80, Name: "http"}), "both the name"},
		{rule(policy.Rule{Action: policy.Accept}), "can only allow"},
		{rule(policy.Rule{Unknown: true}), "can only allow"},
		{cnp("Top", 0), `tier "Top"`},
		{cnp(policy.Admin, 1001), "priority 1001"},
		{cnp(policy.Admin, 0, policy.Rule{}), `action ""`},
		{cnp(policy.Admin, 0, policy.Rule{Action: policy.Deny, Processes: []policy.Process{{Path: "/bin/a"}}}), "processes in a ClusterNetworkPolicy"},
		{shop(wide), "ClusterWorkloadPolicy/-/w: peer of no namespace"},
		{shop(sources), "prefix 10.0.0.1/8"},
		{shop(path), "empty process path"},
		{refused(func(p *policy.WorkloadPolicy) { p.Fallback = "" }), `fallback ""`},
		{refused(func(p *policy.WorkloadPolicy) { p.Exec.Action = policy.Ignore }), `action "Ignore"`},
		{refused(func(p *policy.WorkloadPolicy) { p.Exec.Allow[0].Path = "" }), "empty process path"},
		{refused(func(p *policy.WorkloadPolicy) { p.Exec.Allow[0].SHA256 = "a" }), "1 bytes of sum"},
		{refused(func(p *policy.WorkloadPolicy) { p.Exec.Allow[0].Parents = []policy.Process{{Path: "/a\x00"}} }), "process path"},
		{cidr, "Node/-/a: prefix 10.0.0.1/8"},
		{unnumbered, `container port "http"`},
		{rule(policy.Rule{Processes: []policy.Process{{}}}), "processes in a NetworkPolicy"},
		{shop(operator), `operator "Like"`},
		{shop(mode), `mode ""`},
		{shop(response), `response "Reset"`},
		{shop(action), `action "Deny"`},
		{mapped, "Pod/shop/web: address ::ffff:10.0.0.1"},
	} {
		c := New(new(IDs))
		if _, err := c.Compile(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Compile: error %v; want %q", err, tt.want)
		}
	}
}
