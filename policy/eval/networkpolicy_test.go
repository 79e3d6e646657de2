// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"testing"

	"github.com/sluice-io/sluice/policy"
)

func TestIsolation(t *testing.T) {
	deny, open := network("deny"), network("open", policy.Rule{})
	everyPod := network("every")
	everyPod.Pods = policy.Selector{}
	unnamed := network("unnamed", policy.Rule{})
	unnamed.Isolates = [2]bool{} // policyTypes names neither, whatever the rules
	unknown := in("10.0.0.2")
	unknown.Pod.Name = "unknown"
	host := policy.Flow{Pod: node, Peer: addrs("10.0.0.1")[0], Protocol: policy.TCP, Port: 80}
	hostDeny := network("host")
	hostDeny.Namespace, hostDeny.Pods = "ops", policy.Selector{}

	table{
		"no policy":    {cluster(), []asked{{in("10.0.0.2"), noPolicy}, {to("192.0.2.1"), noPolicy}}},
		"default deny": {cluster(deny), []asked{{in("10.0.0.2"), denied}, {in("fd00::2"), denied}, {to("10.0.0.2"), noPolicy}}},
		"allow all": {cluster(deny, open), []asked{
			{in("10.0.0.2"), allowed(open, 0)}, {in("2001:db8::1"), allowed(open, 0)},
			{on(in("10.0.0.2"), policy.ICMP, 0), allowed(open, 0)},
		}},
		"direction not named":                {cluster(unnamed), []asked{{in("10.0.0.2"), noPolicy}}},
		"direction not named allows nothing": {cluster(deny, unnamed), []asked{{in("10.0.0.2"), denied}}},
		"empty podSelector":                  {cluster(everyPod), []asked{{in("10.0.0.2"), denied}, {unknown, denied}}},
		"other pods":                         {cluster(deny), []asked{{unknown, noPolicy}}},
		"host network":                       {cluster(hostDeny), []asked{{host, noPolicy}}},
		"never judged": {cluster(deny, outbound("deny-out")), []asked{
			{in("127.0.0.1"), noPolicy}, {to("127.8.8.8"), noPolicy}, {to("::1"), noPolicy},
			{to("10.0.0.1"), noPolicy}, {in("fd00::1"), noPolicy},
		}},
	}.run(t)
}

func TestPeers(t *testing.T) {
	own := network("own", from(policy.Peer{Pods: app("web")}))
	ownAll := network("own-all", from(policy.Peer{Pods: all}))
	ns := network("ns", from(policy.Peer{Namespaces: labelled(nameLabel, policy.In, "ops")}))
	nsAll := network("ns-all", from(policy.Peer{Namespaces: all}))
	both := network("both", from(policy.Peer{Namespaces: labelled("team", policy.DoesNotExist), Pods: app("web")}))
	either := network("either", from(policy.Peer{Namespaces: labelled("team", policy.Exists)}, policy.Peer{Pods: app("web")}))
	cidr := network("cidr", from(block("10.0.0.0/16", "10.0.1.0/24"), block("fd00::/16")))
	everything := network("everything", from(block("0.0.0.0/0")))

	table{
		"podSelector is of the own namespace":     {cluster(own), []asked{{in("10.0.0.2"), denied}, {in("10.0.1.1"), denied}}},
		"empty podSelector":                       {cluster(ownAll), []asked{{in("10.0.0.2"), allowed(ownAll, 0)}, {in("fd00::2"), allowed(ownAll, 0)}, {in("10.0.1.1"), denied}}},
		"namespaceSelector":                       {cluster(ns), []asked{{in("10.0.1.1"), allowed(ns, 0)}, {in("10.0.0.2"), denied}}},
		"empty namespaceSelector":                 {cluster(nsAll), []asked{{in("10.0.1.1"), allowed(nsAll, 0)}, {in("10.0.0.2"), allowed(nsAll, 0)}, {in("192.0.2.1"), denied}}},
		"host network is no pod":                  {cluster(nsAll), []asked{{in("10.0.9.1"), denied}}},
		"podSelector and namespaceSelector":       {cluster(both), []asked{{in("10.0.1.1"), allowed(both, 0)}, {in("10.0.0.2"), denied}}},
		"podSelector or namespaceSelector":        {cluster(either), []asked{{in("10.0.0.2"), allowed(either, 0)}, {in("10.0.1.1"), denied}}},
		"ipBlock matches pods and nodes":          {cluster(cidr), []asked{{in("10.0.0.2"), allowed(cidr, 0)}, {in("10.0.9.1"), allowed(cidr, 0)}, {in("fd00::9"), allowed(cidr, 0)}}},
		"except":                                  {cluster(cidr), []asked{{in("10.0.1.1"), denied}, {in("10.0.2.0"), allowed(cidr, 0)}, {in("10.1.0.0"), denied}}},
		"0.0.0.0/0 is IPv4 only":                  {cluster(everything), []asked{{in("192.0.2.1"), allowed(everything, 0)}, {in("fd00::2"), denied}}},
		"an except excludes from its rule only":   {cluster(cidr, ns), []asked{{in("10.0.1.1"), allowed(ns, 0)}}},
		"an except excludes from its peer only":   {cluster(network("x", from(block("10.0.0.0/16", "10.0.1.0/24"), block("10.0.1.1/32")))), []asked{{in("10.0.1.1"), allowed(network("x"), 0)}}},
		"an address of two pods is both's":        {shared(own), []asked{{in("10.0.1.1"), allowed(own, 0)}}},
		"selectors do not match addresses beyond": {cluster(ownAll), []asked{{in("192.0.2.1"), denied}}},
	}.run(t)
}

// shared has a second pod, shop/late with app=web, at scan's address.
func shared(policies ...any) *policy.Cluster {
	c := cluster(policies...)
	late := policy.PodKey{Namespace: "shop", Name: "late"}
	c.Pods[late] = policy.Pod{PodKey: late, Labels: map[string]string{"app": "web"}, IPs: addrs("10.0.1.1")}
	return c
}

func TestSelectorOperators(t *testing.T) {
	for _, tt := range []struct {
		s      *policy.Selector
		labels map[string]string
		want   bool
	}{
		{all, nil, true},
		{labelled("a", policy.In, "1", "2"), map[string]string{"a": "2"}, true},
		{labelled("a", policy.In, "1", "2"), map[string]string{"a": "3"}, false},
		{labelled("a", policy.In, "1"), nil, false},
		{labelled("a", policy.NotIn, "1"), map[string]string{"a": "2"}, true},
		{labelled("a", policy.NotIn, "1"), map[string]string{"a": "1"}, false},
		{labelled("a", policy.NotIn, "1"), nil, true},
		{labelled("a", policy.Exists), map[string]string{"a": ""}, true},
		{labelled("a", policy.Exists), nil, false},
		{labelled("a", policy.DoesNotExist), map[string]string{"a": ""}, false},
		{labelled("a", policy.DoesNotExist), nil, true},
		{labelled("a", "Like", "1"), map[string]string{"a": "1"}, false},
		{&policy.Selector{Requirements: []policy.Requirement{
			{Key: "a", Operator: policy.Exists}, {Key: "b", Operator: policy.Exists},
		}}, map[string]string{"a": ""}, false},
	} {
		if got := selects(*tt.s, tt.labels); got != tt.want {
			t.Errorf("selects(%+v, %v) = %v", *tt.s, tt.labels, got)
		}
	}
}

func TestPorts(t *testing.T) {
	ports := network("ports", policy.Rule{Ports: []policy.Port{{Protocol: policy.TCP, Number: 80}, {Protocol: policy.UDP}}})
	and := network("and", policy.Rule{
		Peers: []policy.Peer{{Pods: app("db")}},
		Ports: []policy.Port{{Protocol: policy.TCP, Number: 80}},
	})
	or := network("or", from(policy.Peer{Pods: app("db")}), policy.Rule{Ports: []policy.Port{{Protocol: policy.TCP, Number: 80}}})
	peer := in("10.0.0.2")

	table{
		"protocol and number": {cluster(ports), []asked{
			{peer, allowed(ports, 0)}, {on(peer, policy.TCP, 81), denied}, {on(peer, policy.UDP, 9), allowed(ports, 0)},
			{on(peer, policy.ICMP, 0), denied}, {on(peer, policy.SCTP, 80), denied}, {on(peer, policy.TCP, 0), denied},
		}},
		"from and ports": {cluster(and), []asked{
			{peer, allowed(and, 0)}, {on(peer, policy.TCP, 81), denied}, {in("10.0.1.1"), denied},
		}},
		"two rules": {cluster(or), []asked{
			{peer, allowed(or, 0)}, {on(peer, policy.ICMP, 0), allowed(or, 0)}, {in("10.0.1.1"), allowed(or, 1)},
			{on(in("10.0.1.1"), policy.TCP, 81), denied},
		}},
		"the first policy by name is named": {cluster(or, ports, and), []asked{
			{peer, allowed(and, 0)}, {on(peer, policy.UDP, 9), allowed(or, 0)},
		}},
	}.run(t)
}
