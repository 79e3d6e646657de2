// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/policytest"
)

func TestLintRuntime(t *testing.T) {
	with := func(p *policy.WorkloadPolicy, change func(*policy.WorkloadPolicy)) *policy.WorkloadPolicy {
		change(p)
		return p
	}
	sum := policy.ExecRule{Process: policy.Process{Path: "/bin/pay"}, SHA256: "sum"}
	uses := func(allow ...policy.CapabilityRule) *policy.Cluster { return cluster(uses("p", policy.Kill, allow...)) }
	reads := func(action policy.Action, path string, allow ...string) policy.FileRule {
		return policy.FileRule{Paths: []string{path}, Operations: policy.OpRead, Allow: processes(allow...), Action: action}
	}
	writes := reads(policy.Kill, "/etc/shadow")
	writes.Operations = policy.OpRead | policy.OpWrite
	pay := execs("pay", policy.Kill, runs("/bin/pay"))
	connects := with(workload("p", policy.Rule{Processes: processes("/bin/sh")}, policy.Rule{Peers: []policy.Peer{{Pods: app("db")}}}),
		func(p *policy.WorkloadPolicy) { p.Exec = pay.Exec })

	for name, tt := range map[string]struct {
		c    *policy.Cluster
		want string // the findings
	}{
		"good":                      {cluster(execs("p", policy.Kill, runs("/bin/pay"), runs("/bin/sh", "/bin/pay"))), ""},
		"nothing runs":              {cluster(execs("p", policy.Prevent)), "p spec.exec warning"},
		"nothing runs, reported":    {cluster(execs("p", policy.Report)), ""},
		"nothing runs, audited":     {cluster(audited(execs("p", policy.Kill))), ""},
		"entry needs a parent":      {cluster(execs("p", policy.Kill, runs("/bin/sh", "/bin/sh"))), "p spec.exec warning"},
		"entry of another policy":   {cluster(execs("p", policy.Kill), pay), ""},
		"of an audited one":         {cluster(execs("p", policy.Kill), audited(execs("q", policy.Kill, runs("/bin/pay")))), "p spec.exec warning"},
		"wider pattern":             {cluster(execs("p", policy.Kill, runs("/usr/bin/git"), runs("/usr/bin/*"), runs("/usr/**"))), "p spec.exec.allow[0] warning,p spec.exec.allow[1] warning"},
		"pattern of another folder": {cluster(execs("p", policy.Kill, runs("/usr/*"), runs("/usr/bin/git"), runs("/usr/lib/**"))), ""},
		"same entry":                {cluster(execs("p", policy.Kill, runs("/bin/pay"), runs("/bin/pay"))), "p spec.exec.allow[1] warning"},
		"sum beside no sum":         {cluster(execs("p", policy.Kill, sum, runs("/bin/pay"))), "p spec.exec.allow[0] warning"},
		"sum beside parents":        {cluster(execs("p", policy.Kill, sum, runs("/bin/pay", "/bin/pay"))), ""},
		"parents":                   {cluster(execs("p", policy.Kill, runs("/bin/**"), runs("/bin/pay", "/bin/sh"))), "p spec.exec.allow[1] warning"},
		"parent in a folder":        {cluster(execs("p", policy.Kill, runs("/bin/pay"), runs("/bin/sh", "/bin/pay", "/bin/*"))), "p spec.exec.allow[1].parents[0] warning"},
		"parent that never runs":    {cluster(execs("p", policy.Kill, runs("/bin/pay"), runs("/bin/sh", "/bin/sleep"))), "p spec.exec.allow[1].parents[0] warning"},
		"if only reported":          {cluster(execs("p", policy.Report, runs("/bin/pay"), runs("/bin/sh", "/bin/sleep"))), ""},
		"capabilities twice":        {uses(policy.CapabilityRule{Names: 3}, policy.CapabilityRule{Names: 1, Processes: processes("/bin/pay")}), "p spec.capabilities.allow[1] warning"},
		"more capabilities":         {uses(policy.CapabilityRule{Names: 1}, policy.CapabilityRule{Names: 3}), "p spec.capabilities.allow[0] warning"},
		"more programs":             {uses(policy.CapabilityRule{Names: 3, Processes: processes("/bin/pay")}, policy.CapabilityRule{Names: 1}), ""},
		"program of a folder":       {uses(policy.CapabilityRule{Names: 3, Processes: processes("/bin/pay", "/bin/**")}), "p spec.capabilities.allow[0].processes[0] warning"},
		"capability of no program": {cluster(pay, with(runtimeRules("p"), func(p *policy.WorkloadPolicy) {
			p.Capabilities = uses(policy.CapabilityRule{Names: 1, Processes: processes("/bin/pay", "/bin/sh")}).WorkloadPolicies[0].Capabilities
		})), "p spec.capabilities.allow[0].processes[1] warning"},
		"of a program of a pattern": {cluster(execs("p", policy.Kill, runs("/bin/*")), with(runtimeRules("q"), func(p *policy.WorkloadPolicy) {
			p.Files = []policy.FileRule{reads(policy.Kill, "/etc/shadow", "/bin/**", "/sbin/a")}
		})), "q spec.files.rules[0].allow[1] warning"},
		"connection of no program":   {cluster(connects), "p egress 0 spec.egress.allow[0].processes[0] warning"},
		"nobody reads":               {cluster(guards("p", reads(policy.Kill, "/**"))), "p spec.files.rules[0] warning"},
		"nobody reads, audit":        {cluster(guards("p", reads(policy.Report, "/**"))), ""},
		"another rule lets it":       {cluster(guards("p", reads(policy.Kill, "/**")), guards("q", reads(policy.Kill, "/usr/**", "/bin/pay"))), ""},
		"nobody writes":              {cluster(guards("p", policy.FileRule{Paths: []string{"/**"}, Operations: policy.OpWrite, Action: policy.Kill})), ""},
		"path within a pattern":      {cluster(guards("p", policy.FileRule{Paths: []string{"/etc/shadow", "/etc/*", "/etc/ssl/*"}, Operations: policy.OpWrite, Action: policy.Kill})), "p spec.files.rules[0].paths[0] warning"},
		"rule within a rule":         {cluster(guards("p", reads(policy.Kill, "/etc/**", "/bin/pay", "/bin/sh"), reads(policy.Prevent, "/etc/ssl/*", "/bin/sh"))), "p spec.files.rules[1] warning"},
		"stronger within a rule":     {cluster(guards("p", reads(policy.Prevent, "/etc/**", "/bin/pay"), reads(policy.Kill, "/etc/ssl/*", "/bin/pay"))), ""},
		"more programs within it":    {cluster(guards("p", reads(policy.Kill, "/etc/**", "/bin/pay"), reads(policy.Kill, "/etc/ssl/*", "/bin/*"))), ""},
		"more operations":            {cluster(guards("p", reads(policy.Kill, "/etc/shadow"), writes)), "p spec.files.rules[0] warning"},
		"fallback of Deny":           {cluster(with(execs("p", policy.Prevent, runs("/bin/pay")), func(p *policy.WorkloadPolicy) { p.Fallback = policy.Close })), ""},
		"fallback of Kill":           {cluster(with(execs("p", policy.Kill, runs("/bin/pay")), func(p *policy.WorkloadPolicy) { p.Fallback = policy.Close })), "p spec.fallback warning"},
		"fallback of a Deny on file": {cluster(with(guards("p", reads(policy.Prevent, "/a")), func(p *policy.WorkloadPolicy) { p.Fallback = policy.FallbackKill })), ""},
	} {
		t.Run(name, func(t *testing.T) {
			findings := Lint(tt.c)
			if got := strings.Join(words(findings, found), ","); got != tt.want {
				t.Errorf("got  %q %+v\nwant %q", got, findings, tt.want)
			}
		})
	}
}

// TestLintRuntimeHolds: over random clusters, a policy does the same without what is
// called redundant, and a program of which it is said that it may not run is stopped.
func TestLintRuntimeHolds(t *testing.T) {
	seed := rand.Uint64()
	redundant, stopped := 0, 0
	for round := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, round))
		c := policytest.Random(r, policytest.Small)
		without := *c.Cluster
		without.WorkloadPolicies = nil
		findings := map[string]bool{}
		for _, f := range Lint(c.Cluster) {
			if f.Direction == "" && strings.HasPrefix(f.Message, "redundant") {
				findings[f.Policy.String()+" "+f.Field] = true
			}
		}
		redundant += len(findings)
		for _, p := range c.Cluster.WorkloadPolicies {
			without.WorkloadPolicies = append(without.WorkloadPolicies, withoutEntries(p, findings))
		}
		for range 100 {
			pod := c.Local[r.IntN(len(c.Local))]
			exec, capability, file := policytest.Exec(r), policytest.Capability(r), policytest.File(r)
			for name, answers := range map[string][2]Response{
				"exec":       {Exec(c.Cluster, pod, exec), Exec(&without, pod, exec)},
				"capability": {Capability(c.Cluster, pod, capability), Capability(&without, pod, capability)},
				"file":       {File(c.Cluster, pod, file), File(&without, pod, file)},
			} {
				if a, b := answers[0], answers[1]; a.Action != b.Action || a.Audit != b.Audit {
					t.Fatalf("seed %d, round %d: %s in %s: %+v, without %v: %+v", seed, round, name, pod, a, findings, b)
				}
			}
			if exec.Path != "" && neverRunsIn(c.Cluster, pod, exec.Program) {
				stopped++
				if got := Exec(c.Cluster, pod, exec); got.Audit || got.Action != policy.Kill && got.Action != policy.Prevent {
					t.Fatalf("seed %d, round %d: %s runs in %s: %+v", seed, round, exec.Path, pod, got)
				}
			}
		}
	}
	if redundant < 50 || stopped < 50 {
		t.Errorf("seed %d: only %d redundant entries, and %d programs stopped", seed, redundant, stopped)
	}
}

// neverRunsIn says whether Lint says so to a policy for a pod that names a program.
func neverRunsIn(c *policy.Cluster, key policy.PodKey, program policy.Program) bool {
	named := *c
	named.WorkloadPolicies = slices.Clone(c.WorkloadPolicies)
	var names []string
	for i, p := range named.WorkloadPolicies {
		if !workloadSubject(c, podOf(c, key), p) {
			continue
		}
		q := *p
		q.Files = []policy.FileRule{{Paths: []string{"/a"}, Operations: policy.OpRead, Allow: processes(program.Path), Action: policy.Report}}
		named.WorkloadPolicies[i] = &q
		names = append(names, PolicyName(q.Ref()).String())
	}
	return slices.ContainsFunc(Lint(&named), func(f Finding) bool {
		return f.Field == "spec.files.rules[0].allow[0]" && slices.Contains(names, f.Policy.String())
	})
}

// withoutEntries is a policy without the entries that findings name.
func withoutEntries(p *policy.WorkloadPolicy, findings map[string]bool) *policy.WorkloadPolicy {
	gone := func(format string, args ...any) bool {
		return findings[PolicyName(p.Ref()).String()+" spec."+fmt.Sprintf(format, args...)]
	}
	fewer := func(list []policy.Process, format string, i int) (out []policy.Process) {
		for j, process := range list {
			if !gone(format, i, j) {
				out = append(out, process)
			}
		}
		return out
	}
	q := *p
	if p.Exec != nil {
		q.Exec = &policy.Exec{ImageOnly: p.Exec.ImageOnly, Action: p.Exec.Action}
		for i, r := range p.Exec.Allow {
			if r.Parents = fewer(r.Parents, "exec.allow[%d].parents[%d]", i); !gone("exec.allow[%d]", i) {
				q.Exec.Allow = append(q.Exec.Allow, r)
			}
		}
	}
	if p.Capabilities != nil {
		q.Capabilities = &policy.Capabilities{Action: p.Capabilities.Action}
		for i, r := range p.Capabilities.Allow {
			if r.Processes = fewer(r.Processes, "capabilities.allow[%d].processes[%d]", i); !gone("capabilities.allow[%d]", i) {
				q.Capabilities.Allow = append(q.Capabilities.Allow, r)
			}
		}
	}
	q.Files = nil
	for i, r := range p.Files {
		paths := r.Paths
		r.Paths = nil
		for j, path := range paths {
			if !gone("files.rules[%d].paths[%d]", i, j) {
				r.Paths = append(r.Paths, path)
			}
		}
		if r.Allow = fewer(r.Allow, "files.rules[%d].allow[%d]", i); !gone("files.rules[%d]", i) {
			q.Files = append(q.Files, r)
		}
	}
	return &q
}
