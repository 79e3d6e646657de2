// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

func processes(paths ...string) []policy.Process {
	var out []policy.Process
	for _, p := range paths {
		out = append(out, policy.Process{Path: p})
	}
	return out
}

// TestEach: a pod that both kinds isolate needs an allow of each.
func TestEach(t *testing.T) {
	np, npDeny := outbound("np", policy.Rule{}), outbound("np-deny")
	wp, wpDeny := workload("wp", policy.Rule{}), workload("wp-deny")
	table{
		"both allow":          {cluster(np, wp), []asked{{to("10.0.0.2"), allowed(wp, 0)}}},
		"only the network":    {cluster(np, wpDeny), []asked{{to("10.0.0.2"), eperm}}},
		"only the workload":   {cluster(npDeny, wp), []asked{{to("10.0.0.2"), denied}}},
		"neither":             {cluster(npDeny, wpDeny), []asked{{to("10.0.0.2"), eperm}}},
		"network policy only": {cluster(np), []asked{{to("10.0.0.2"), allowed(np, 0)}}},
		"other direction":     {cluster(np, wpDeny), []asked{{in("10.0.0.2"), noPolicy}}},
		"allows add up":       {cluster(wpDeny, wp), []asked{{to("10.0.0.2"), allowed(wp, 0)}}},
		"loopback and own":    {cluster(wpDeny), []asked{{to("127.0.0.1"), noPolicy}, {to("fd00::1"), noPolicy}}},
	}.run(t)
}

func TestProcesses(t *testing.T) {
	pay := workload("pay",
		policy.Rule{Peers: []policy.Peer{{Pods: app("db")}}},
		policy.Rule{Processes: processes("/bin/pay", "/bin/ship")},
	)
	curl := workload("curl", policy.Rule{
		Processes: processes("/bin/curl"), Ports: []policy.Port{{Protocol: policy.TCP, Number: 443}},
	})
	table{
		"only these programs": {cluster(pay), []asked{
			{by(to("192.0.2.1"), "/bin/pay"), allowed(pay, 1)}, {by(to("192.0.2.1"), "/bin/ship"), allowed(pay, 1)},
			{by(to("192.0.2.1"), "/bin/sh"), eperm}, {to("192.0.2.1"), eperm},
		}},
		"rules for particular processes first": {cluster(pay), []asked{
			{by(to("10.0.0.2"), "/bin/pay"), allowed(pay, 1)}, {by(to("10.0.0.2"), "/bin/sh"), allowed(pay, 0)},
			{to("10.0.0.2"), allowed(pay, 0)},
		}},
		"process and port": {cluster(curl), []asked{
			{on(by(to("192.0.2.1"), "/bin/curl"), policy.TCP, 443), allowed(curl, 0)},
			{by(to("192.0.2.1"), "/bin/curl"), eperm},
		}},
	}.run(t)
}

func TestErrno(t *testing.T) {
	loud, quiet := workload("loud"), silent(workload("quiet"))
	table{
		"errno":          {cluster(loud), []asked{{to("10.0.0.2"), eperm}}},
		"drop":           {cluster(quiet), []asked{{to("10.0.0.2"), dropped}}},
		"one is enough":  {cluster(quiet, loud), []asked{{to("10.0.0.2"), eperm}}},
		"audit is not":   {cluster(quiet, audited(workload("audit"))), []asked{{to("10.0.0.2"), dropped}}},
		"network policy": {cluster(outbound("np")), []asked{{to("10.0.0.2"), denied}}},
	}.run(t)
}

func TestAudit(t *testing.T) {
	audit := audited(workload("audit", from(policy.Peer{Pods: app("db")})))
	open, np := workload("open", policy.Rule{}), outbound("np", policy.Rule{})
	table{
		"isolates nothing":     {cluster(audit), []asked{{to("10.0.0.2"), noPolicy}}},
		"would deny":           {cluster(audit), []asked{{to("192.0.2.1"), auditDenied(noPolicy)}}},
		"would deny by each":   {cluster(audit, np), []asked{{to("192.0.2.1"), auditDenied(allowed(np, 0))}}},
		"allows nothing":       {cluster(audit, workload("deny")), []asked{{to("10.0.0.2"), eperm}}},
		"allows add up":        {cluster(audit, open), []asked{{to("192.0.2.1"), allowed(open, 0)}}},
		"denied is not audit":  {cluster(audit, outbound("deny")), []asked{{to("192.0.2.1"), denied}}},
		"loopback is not seen": {cluster(audit), []asked{{to("127.0.0.1"), noPolicy}}},
	}.run(t)
}

func TestPrivileges(t *testing.T) {
	with := func(p *policy.WorkloadPolicy, actions ...policy.Action) *policy.WorkloadPolicy {
		for _, a := range actions {
			p.Escalation = append(p.Escalation, policy.EscalationRule{Classes: []policy.Class{policy.Privileges}, Action: a})
		}
		return p
	}
	kill := with(workload("kill"), policy.Ignore, policy.Kill)
	also := with(workload("also"), policy.Kill)
	audit := with(audited(workload("a-first")), policy.Kill)
	ignore := with(workload("a-ignore"), policy.Ignore)
	wide := clusterWide(with(workload("z-wide"), policy.Kill), all)
	other := workload("a-other")
	other.Escalation = []policy.EscalationRule{{Classes: []policy.Class{"Mounts"}, Action: policy.Kill}}
	rule := func(p *policy.WorkloadPolicy, i int) policy.RuleRef { return policy.RuleRef{Policy: p.Ref(), Index: i} }

	for name, tt := range map[string]struct {
		c    *policy.Cluster
		pod  policy.PodKey
		want Response
	}{
		"none":          {cluster(), web, Response{Action: policy.Ignore}},
		"ignored":       {cluster(ignore, other), web, Response{Action: policy.Ignore}},
		"kill":          {cluster(ignore, kill), web, Response{policy.Kill, false, rule(kill, 1)}},
		"first by name": {cluster(kill, also), web, Response{policy.Kill, false, rule(also, 0)}},
		"audit":         {cluster(audit, ignore), web, Response{policy.Kill, true, rule(audit, 0)}},
		"enforce wins":  {cluster(audit, kill), web, Response{policy.Kill, false, rule(kill, 1)}},
		"not selected":  {cluster(kill), db, Response{Action: policy.Ignore}},
		"cluster-wide":  {cluster(kill, wide), scan, Response{policy.Kill, false, rule(wide, 0)}},
		"kind first":    {cluster(kill, wide), web, Response{policy.Kill, false, rule(wide, 0)}},
		"host network":  {cluster(wide), node, Response{Action: policy.Ignore}},
	} {
		if diff := cmp.Diff(tt.want, Privileges(tt.c, tt.pod)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}
