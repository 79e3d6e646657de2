// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"testing"

	"github.com/sluice-io/sluice/policy"
)

// admin is a policy of the Admin tier for the pods of app=web everywhere, with
// ingress rules.
func admin(name string, priority int, rules ...policy.Rule) *policy.ClusterNetworkPolicy {
	return &policy.ClusterNetworkPolicy{
		Name: name, Tier: policy.Admin, Priority: priority, Pods: *app("web"),
		Rules: [2][]policy.Rule{policy.Ingress: rules},
	}
}

// baseline is admin for the Baseline tier.
func baseline(name string, priority int, rules ...policy.Rule) *policy.ClusterNetworkPolicy {
	p := admin(name, priority, rules...)
	p.Tier = policy.Baseline
	return p
}

// does is a rule with an action for pods of some apps; for all without any.
func does(action policy.RuleAction, apps ...string) policy.Rule {
	r := policy.Rule{Action: action}
	for _, a := range apps {
		r.Peers = append(r.Peers, policy.Peer{Namespaces: all, Pods: app(a)})
	}
	return r
}

func unknown(action policy.RuleAction) policy.Rule {
	return policy.Rule{Action: action, Unknown: true, Peers: []policy.Peer{{Namespaces: all, Pods: app("db")}},
		Ports: []policy.Port{{Protocol: policy.TCP, Number: 80}}}
}

// refused is a denial by the i-th rule of a policy.
func refused(p interface{ Ref() policy.Ref }, i int) policy.Verdict {
	v := allowed(p, i)
	v.Allowed = false
	return v
}

func TestTiers(t *testing.T) {
	acceptDB, denyDB, passDB := admin("accept", 1, does(policy.Accept, "db")), admin("deny", 1, does(policy.Deny, "db")), admin("pass", 1, does(policy.Pass, "db"))
	denyAll := admin("later", 2, does(policy.Deny))
	baseDeny, baseAccept := baseline("base-deny", 2, does(policy.Deny)), baseline("base-accept", 1, does(policy.Accept, "db"))
	basePass := baseline("base-pass", 0, does(policy.Pass, "db"))
	closed, open := network("closed"), network("open", policy.Rule{})
	loud := workload("loud")
	loud.Isolates = [2]bool{policy.Ingress: true}
	audit := audited(workload("audit"))
	audit.Isolates = [2]bool{policy.Ingress: true}
	host := policy.Flow{Pod: node, Peer: addrs("10.0.0.2")[0], Protocol: policy.TCP, Port: 80}
	everyone := admin("everyone", 0, does(policy.Deny))
	everyone.Pods = policy.Selector{}
	fromDB, fromScan := in("10.0.0.2"), in("10.0.1.1")

	table{
		"accept goes before what isolates": {cluster(acceptDB, closed, loud, baseDeny), []asked{{fromDB, allowed(acceptDB, 0)}, {fromScan, eperm}}},
		"deny goes before what allows":     {cluster(denyDB, open), []asked{{fromDB, refused(denyDB, 0)}, {fromScan, allowed(open, 0)}}},
		"pass skips the tier only":         {cluster(passDB, denyAll, baseDeny), []asked{{fromDB, refused(baseDeny, 0)}, {fromScan, refused(denyAll, 0)}}},
		"pass to what isolates":            {cluster(passDB, denyAll, closed), []asked{{fromDB, denied}}},
		"baseline where nothing isolates":  {cluster(baseDeny, baseAccept), []asked{{fromDB, allowed(baseAccept, 0)}, {fromScan, refused(baseDeny, 0)}}},
		"not where a NetworkPolicy does":   {cluster(baseDeny, open), []asked{{fromScan, allowed(open, 0)}}},
		"not where a WorkloadPolicy does":  {cluster(baseAccept, loud), []asked{{fromDB, eperm}}},
		"other direction isolated":         {cluster(baseDeny, outbound("out")), []asked{{fromScan, refused(baseDeny, 0)}}},
		"baseline pass":                    {cluster(baseDeny, basePass), []asked{{fromDB, noPolicy}, {fromScan, refused(baseDeny, 0)}}},
		"no rules in the direction":        {cluster(denyAll), []asked{{to("10.0.0.2"), noPolicy}}},
		"no rule matches":                  {cluster(denyDB), []asked{{fromScan, noPolicy}}},
		"host network is no subject":       {cluster(everyone), []asked{{host, noPolicy}}},
		"never judged":                     {cluster(everyone), []asked{{in("10.0.0.1"), noPolicy}, {in("127.0.0.1"), noPolicy}}},
		"audit, and what Admin accepts":    {cluster(acceptDB, audit), []asked{{fromDB, allowed(acceptDB, 0)}, {fromScan, auditDenied(noPolicy)}}},
		"audit, and what Baseline says":    {cluster(baseDeny, baseAccept, audit), []asked{{fromDB, auditDenied(allowed(baseAccept, 0))}, {fromScan, refused(baseDeny, 0)}}},
	}.run(t)
}

func TestOrderInTier(t *testing.T) {
	late, early := admin("a", 2, does(policy.Deny)), admin("z", 1, does(policy.Accept))
	tieB, tieA := admin("b", 1, does(policy.Deny)), admin("a", 1, does(policy.Accept))
	byIndex := admin("c", 0, does(policy.Accept, "db"), does(policy.Deny, "db"), does(policy.Deny))
	table{
		"priority": {cluster(late, early), []asked{{in("10.0.0.2"), allowed(early, 0)}}},
		"name":     {cluster(tieB, tieA), []asked{{in("10.0.0.2"), allowed(tieA, 0)}}},
		"index":    {cluster(byIndex), []asked{{in("10.0.0.2"), allowed(byIndex, 0)}, {in("10.0.1.1"), refused(byIndex, 2)}}},
	}.run(t)
}

func TestSubject(t *testing.T) {
	ops := admin("ops", 0, does(policy.Deny))
	ops.Namespaces = *labelled(nameLabel, policy.In, "ops")
	toScan := in("10.0.0.2")
	toScan.Pod = scan
	other := in("10.0.0.1")
	other.Pod = db
	table{
		"namespaces": {cluster(ops), []asked{{toScan, refused(ops, 0)}, {in("10.0.0.2"), noPolicy}}},
		"pods":       {cluster(admin("x", 0, does(policy.Deny))), []asked{{other, noPolicy}}},
	}.run(t)
}

// TestUnknown: a peer that has no field known here fails closed.
func TestUnknown(t *testing.T) {
	accept, deny, pass := admin("a", 0, unknown(policy.Accept)), admin("b", 1, unknown(policy.Deny)), admin("b", 1, unknown(policy.Pass))
	table{
		"accept": {cluster(accept), []asked{{in("10.0.0.2"), noPolicy}}},
		"deny":   {cluster(accept, deny), []asked{{in("10.0.0.2"), refused(deny, 0)}, {on(in("192.0.2.1"), policy.ICMP, 0), refused(deny, 0)}}},
		"pass":   {cluster(pass), []asked{{on(in("10.0.1.1"), policy.UDP, 9), refused(pass, 0)}}},
	}.run(t)
}
