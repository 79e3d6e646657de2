// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

func TestExplain(t *testing.T) {
	np := outbound("np", policy.Rule{Peers: []policy.Peer{{Pods: app("db")}}, Ports: []policy.Port{{Protocol: policy.TCP, Number: 80, End: 90}}})
	wp := workload("wp", policy.Rule{}, policy.Rule{Processes: processes("/bin/pay")})
	audit := audited(workload("audit", policy.Rule{}))
	cnp := admin("cnp", 0, unknown(policy.Pass))
	cnp.Rules[policy.Egress] = []policy.Rule{does(policy.Pass, "db")}
	base := baseline("base", 0, does(policy.Deny))
	base.Rules[policy.Egress] = base.Rules[policy.Ingress]

	rule := func(p interface{ Ref() policy.Ref }, i int) RuleName { return RuleName{PolicyName(p.Ref()), i} }
	none := []string{}
	want := Profile{
		Namespace: "shop", Name: "web",
		Ingress: Side{
			Isolated: []PolicyName{},
			Rules: []EffectiveRule{
				{Layer: "Admin", Action: policy.Deny, Peers: none, Ports: none, Processes: none, Note: "denies everything: a peer has no field known here", Rule: rule(cnp, 0)},
				{Layer: "Baseline", Action: policy.Deny, Peers: none, Ports: none, Processes: none, Rule: rule(base, 0)},
			},
			Otherwise: "allowed: nothing isolates the pod in this direction",
		},
		Egress: Side{
			Isolated: []PolicyName{PolicyName(np.Ref()), PolicyName(wp.Ref())},
			Audited:  []PolicyName{PolicyName(audit.Ref())},
			Rules: []EffectiveRule{
				{Layer: "Admin", Action: policy.Pass, Peers: []string{"namespaceSelector {} and podSelector app=db"}, Ports: none, Processes: none, Rule: rule(cnp, 0)},
				{Layer: "NetworkPolicy", Action: policy.Accept, Peers: []string{"podSelector app=db in namespace shop"}, Ports: []string{"80-90/TCP"}, Processes: none, Rule: rule(np, 0)},
				{Layer: "WorkloadPolicy", Action: policy.Accept, Peers: none, Ports: none, Processes: []string{"/bin/pay"}, Rule: rule(wp, 1)},
				{Layer: "WorkloadPolicy", Action: policy.Accept, Peers: none, Ports: none, Processes: none, Audit: true, Rule: rule(audit, 0)},
				{Layer: "WorkloadPolicy", Action: policy.Accept, Peers: none, Ports: none, Processes: none, Rule: rule(wp, 0)},
			},
			Otherwise: "denied: a NetworkPolicy and a WorkloadPolicy must each allow it",
		},
		Exec:         unrestricted,
		Capabilities: unrestricted,
		Files:        []GuardedFiles{},
	}
	c := cluster(np, wp, audit, cnp, base)
	if diff := cmp.Diff(want, Explain(c, web)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if p := Explain(c, node); p.Note == "" || len(p.Ingress.Rules)+len(p.Egress.Rules) > 0 {
		t.Errorf("of the host's network: %+v", p)
	}
	if p := Explain(c, policy.PodKey{Namespace: "shop", Name: "unknown"}); p.Note == "" {
		t.Errorf("of no object: %+v", p)
	}
}

var unrestricted = Acts{Restricted: []Restriction{}, Entries: []AllowEntry{}, Otherwise: "allowed: no policy restricts it"}

func TestExplainRuntime(t *testing.T) {
	p := execs("p", policy.Prevent, runs("/bin/pay"), runs("/bin/sh", "/bin/pay", "/opt/*"))
	p.Fallback = policy.Close
	p.Exec.Allow[0].SHA256 = "\x01\xff"
	p.Capabilities = &policy.Capabilities{Action: policy.Kill, Allow: []policy.CapabilityRule{{Names: 1<<13 | 1<<10, Processes: processes("/bin/ping")}}}
	p.Files = []policy.FileRule{
		{Paths: []string{"/etc/shadow", "/run/**"}, Operations: policy.OpRead | policy.OpMmapExec, Action: policy.Prevent},
		{Paths: []string{"/a"}, Operations: policy.OpWrite, Allow: processes("/bin/pay"), Action: policy.Kill},
	}
	dry := audited(execs("dry", policy.Kill, runs("/bin/id")))
	pName, dryName := PolicyName(p.Ref()), PolicyName(dry.Ref())
	none := []string{}

	got := Explain(cluster(p, dry), web)
	for name, diff := range map[string]string{
		"exec": cmp.Diff(Acts{
			Restricted: []Restriction{{dryName, policy.Kill, "", true}, {pName, policy.Prevent, policy.Close, false}},
			Entries: []AllowEntry{
				{Program: "/bin/id", By: none, Audit: true, Policy: dryName},
				{Program: "/bin/pay", SHA256: "01ff", By: none, Policy: pName},
				{Program: "/bin/sh", By: []string{"/bin/pay", "/opt/*"}, Policy: pName},
			},
			Otherwise: "denied",
		}, got.Exec),
		"capabilities": cmp.Diff(Acts{
			Restricted: []Restriction{{pName, policy.Kill, "", false}},
			Entries:    []AllowEntry{{Capabilities: []string{"NET_BIND_SERVICE", "NET_RAW"}, By: []string{"/bin/ping"}, Policy: pName}},
			Otherwise:  "killed",
		}, got.Capabilities),
		"files": cmp.Diff([]GuardedFiles{
			{[]string{"/etc/shadow", "/run/**"}, []string{"Read", "MmapExec"}, none, Restriction{pName, policy.Prevent, policy.Close, false}, 0},
			{[]string{"/a"}, []string{"Write"}, []string{"/bin/pay"}, Restriction{pName, policy.Kill, "", false}, 1},
		}, got.Files),
	} {
		if diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	for want, c := range map[string]*policy.Cluster{
		"allowed, and reported":                               cluster(execs("see", policy.Report)),
		"allowed, and reported: an Audit policy restricts it": cluster(dry),
	} {
		if got := Explain(c, web).Exec.Otherwise; got != want {
			t.Errorf("otherwise %q, want %q", got, want)
		}
	}
	if got := Explain(cluster(p), db); cmp.Diff(unrestricted, got.Exec) != "" || len(got.Files) > 0 {
		t.Errorf("not selected: %+v", got)
	}
}
