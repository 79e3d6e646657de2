// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/policytest"
)

// found is a Finding as a line: policy, direction, index, field, severity.
func found(f Finding) string {
	if f.Index < 0 {
		return fmt.Sprintf("%s %s %s", f.Policy.Name, f.Field, f.Severity)
	}
	return fmt.Sprintf("%s %s %d %s %s", f.Policy.Name, f.Direction, f.Index, f.Field, f.Severity)
}

func and(rs ...*policy.Selector) *policy.Selector {
	var s policy.Selector
	for _, r := range rs {
		s.Requirements = append(s.Requirements, r.Requirements...)
	}
	return &s
}

func TestLint(t *testing.T) {
	never := and(app("a"), app("b"))
	peer := func(p policy.Peer) *policy.Cluster { return cluster(network("p", from(p))) }
	subjectOf := func(s *policy.Selector) *policy.Cluster {
		p := network("p")
		p.Pods = *s
		return cluster(p)
	}
	egress := func(rules ...policy.Rule) *policy.Cluster {
		return cluster(outbound("p", append(rules, policy.Rule{Peers: []policy.Peer{{Pods: app("web")}}})...))
	}
	path := func(p string, mode policy.Mode) *policy.Cluster {
		wp := workload("p", policy.Rule{Processes: processes("/bin/ok", p)}, policy.Rule{Peers: []policy.Peer{{Pods: app("db")}}})
		wp.Mode = mode
		return cluster(wp)
	}
	noDirection := network("p", policy.Rule{})
	noDirection.Isolates = [2]bool{}
	sources := workload("p", policy.Rule{})
	sources.AllowedSources = []netip.Prefix{netip.MustParsePrefix("172.16.0.0/16")}
	ownless := clusterWide(workload("p", from(policy.Peer{Pods: app("db")})), all)
	alone := peer(policy.Peer{Pods: app("nobody"), Namespaces: nil})
	alone.Pods = nil

	for name, tt := range map[string]struct {
		c    *policy.Cluster
		want string // the only finding; "" for none
	}{
		"good":                       {cluster(network("p", from(policy.Peer{Pods: app("db")}))), ""},
		"subject contradicts itself": {subjectOf(never), "p spec.podSelector error"},
		"subject selects nothing":    {subjectOf(app("nobody")), "p spec.podSelector warning"},
		"peer contradicts itself":    {peer(policy.Peer{Pods: never}), "p ingress 0 spec.ingress[0].from[0] error"},
		"namespace without a name":   {peer(policy.Peer{Namespaces: labelled(nameLabel, policy.DoesNotExist)}), "p ingress 0 spec.ingress[0].from[0] error"},
		"peer selects nothing":       {peer(policy.Peer{Pods: app("nobody")}), "p ingress 0 spec.ingress[0].from[0] warning"},
		"no pods known":              {alone, ""},
		"no such service":            {cluster(workload("p", from(policy.Peer{Service: &policy.ObjectKey{Namespace: "shop", Name: "x"}}))), "p egress 0 spec.egress.allow[0].to[0] warning"},
		"domain names":               {cluster(workload("p", from(policy.Peer{DomainNames: []string{"x.org"}}), from(block("192.0.2.0/24")))), "p egress 0 spec.egress.allow[0].to[0] warning"},
		"no own namespace":           {cluster(ownless), "p egress 0 spec.egress.allow[0].to[0] error"},
		"no such named port":         {cluster(network("p", ports(policy.Port{Protocol: policy.TCP, Name: "sql"}))), "p ingress 0 spec.ingress[0].ports[0] warning"},
		"named port of the peer":     {egress(policy.Rule{Peers: []policy.Peer{{Pods: app("db")}}, Ports: []policy.Port{{Protocol: policy.TCP, Name: "sql"}}}), ""},
		"no named port of the peer":  {egress(policy.Rule{Peers: []policy.Peer{{Pods: app("db")}}, Ports: []policy.Port{{Protocol: policy.UDP, Name: "sql"}}}), "p egress 0 spec.egress[0].ports[0] warning"},
		"relative path":              {path("bin/sh", policy.Enforce), "p egress 0 spec.egress.allow[0].processes[1].path error"},
		"unclean path in audit":      {path("/bin//sh", policy.Audit), "p egress 0 spec.egress.allow[0].processes[1].path warning"},
		"direction not in force":     {cluster(noDirection), "p spec.policyTypes error"},
		"sources not granted":        {cluster(sources), "p spec.allowedSources warning"},
		"unknown peer":               {cluster(admin("p", 0, unknown(policy.Accept))), "p ingress 0 spec.ingress[0].from error"},
		"redundant":                  {cluster(network("p", from(block("10.0.0.0/16")), from(block("10.0.0.0/8")))), "p ingress 0 spec.ingress[0] warning"},
		"twice":                      {cluster(network("p", policy.Rule{}, policy.Rule{})), "p ingress 1 spec.ingress[1] warning"},
		"shadowed in the policy":     {cluster(admin("p", 0, does(policy.Accept), does(policy.Deny, "db"))), "p ingress 1 spec.ingress[1] error"},
		"shadowed by another":        {cluster(admin("p", 9, does(policy.Deny, "db")), admin("z", 1, does(policy.Pass))), "p ingress 0 spec.ingress[0] error"},
		"other tier":                 {cluster(baseline("p", 9, does(policy.Deny, "db")), admin("z", 1, does(policy.Pass))), ""},
		"unknown shadows":            {cluster(admin("z", 9, does(policy.Deny, "db")), admin("p", 1, unknown(policy.Deny))), "p ingress 0 spec.ingress[0].from error,z ingress 0 spec.ingress[0] error"},
		"egress without DNS":         {cluster(outbound("p", ports(policy.Port{Protocol: policy.TCP, Number: 443}))), "p spec.egress warning"},
		"DNS in a range":             {cluster(outbound("p", ports(policy.Port{Protocol: policy.UDP, Number: 1, End: 99}))), ""},
		"DNS of another policy":      {cluster(outbound("p"), outbound("q", ports(policy.Port{Protocol: policy.UDP, Number: 53}))), ""},
		"each needs DNS":             {cluster(workload("p"), outbound("q", ports(policy.Port{Protocol: policy.UDP, Number: 53}))), "p spec.egress warning"},
	} {
		t.Run(name, func(t *testing.T) {
			findings := Lint(tt.c)
			got := strings.Join(words(findings, found), ",")
			if got != tt.want {
				t.Errorf("got  %q %+v\nwant %q", got, findings, tt.want)
			}
		})
	}
}

// TestLintHolds: over random clusters, a rule that is called never reached decides
// nothing, and a policy does the same without a rule that is called redundant.
func TestLintHolds(t *testing.T) {
	seed := rand.Uint64()
	size := policytest.Small
	size.ClusterNetworkPolicies = 12
	shadowed, redundant := 0, 0
	for round := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, round))
		c := policytest.Random(r, size)
		unreached := map[string]bool{} // by rule and direction
		var less []Finding
		for _, f := range Lint(c.Cluster) {
			switch name := fmt.Sprint(RuleName{f.Policy, f.Index}, f.Direction); {
			case strings.HasPrefix(f.Message, "never reached"):
				unreached[name] = true
			case strings.HasPrefix(f.Message, "redundant"):
				less = append(less, f)
			}
		}
		shadowed += len(unreached)
		redundant += len(less)
		without := withoutRules(c.Cluster, less)
		for range 100 {
			f := c.Flow(r)
			v := Judge(c.Cluster, f)
			if unreached[fmt.Sprint(ruleName(v.Rule), f.Direction)] {
				t.Fatalf("seed %d, round %d: %+v is decided by %+v", seed, round, f, v.Rule)
			}
			if w := Judge(without, f); w.Allowed != v.Allowed || w.AuditDenied != v.AuditDenied {
				t.Fatalf("seed %d, round %d: %+v: %+v without %+v", seed, round, f, w, less)
			}
		}
	}
	if shadowed < 50 || redundant < 50 {
		t.Errorf("seed %d: only %d shadowed rules and %d redundant ones", seed, shadowed, redundant)
	}
}

// withoutRules is a cluster without the rules of some findings.
func withoutRules(c *policy.Cluster, findings []Finding) *policy.Cluster {
	keep := func(ref policy.Ref, rules [2][]policy.Rule) (out [2][]policy.Rule) {
		for d := range rules {
			for i, r := range rules[d] {
				if !slices.ContainsFunc(findings, func(f Finding) bool {
					return policy.Ref(f.Policy) == ref && f.Direction == policy.Direction(d).String() && f.Index == i
				}) {
					out[d] = append(out[d], r)
				}
			}
		}
		return out
	}
	out := *c
	out.NetworkPolicies, out.WorkloadPolicies = nil, nil
	for _, p := range c.NetworkPolicies {
		q := *p
		q.Rules = keep(p.Ref(), p.Rules)
		out.NetworkPolicies = append(out.NetworkPolicies, &q)
	}
	for _, p := range c.WorkloadPolicies {
		q := *p
		q.Rules = keep(p.Ref(), p.Rules)
		out.WorkloadPolicies = append(out.WorkloadPolicies, &q)
	}
	return &out
}
