// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/policytest"
)

// runtimeRules is an enforced policy of namespace shop for the pods of app=web that
// isolates nothing.
func runtimeRules(name string) *policy.WorkloadPolicy {
	return &policy.WorkloadPolicy{Namespace: "shop", Name: name, Pods: *app("web"), Mode: policy.Enforce, Fallback: policy.Observe}
}

func execs(name string, action policy.Action, allow ...policy.ExecRule) *policy.WorkloadPolicy {
	p := runtimeRules(name)
	p.Exec = &policy.Exec{Allow: allow, Action: action}
	return p
}

func uses(name string, action policy.Action, allow ...policy.CapabilityRule) *policy.WorkloadPolicy {
	p := runtimeRules(name)
	p.Capabilities = &policy.Capabilities{Allow: allow, Action: action}
	return p
}

func guards(name string, rules ...policy.FileRule) *policy.WorkloadPolicy {
	p := runtimeRules(name)
	p.Files = rules
	return p
}

// runs allows a program, by one of some parents.
func runs(program string, parents ...string) policy.ExecRule {
	return policy.ExecRule{Process: policy.Process{Path: program}, Parents: processes(parents...)}
}

func ofImage(program string) policy.Program { return policy.Program{Path: program, Image: true} }

func response(action policy.Action, p *policy.WorkloadPolicy, i int) Response {
	return Response{Action: action, Rule: policy.RuleRef{Policy: p.Ref(), Index: i}}
}

func reported(r Response) Response {
	r.Audit = true
	return r
}

var passes = Response{Action: policy.Ignore}

func TestExec(t *testing.T) {
	sh := runs("/bin/sh", "/bin/pay", "/opt/*")
	sum := policy.ExecRule{Process: policy.Process{Path: "/bin/pay"}, SHA256: "right"}
	pay, shell := execs("pay", policy.Prevent, runs("/bin/pay")), execs("shell", policy.Kill, sh)
	nothing, see := execs("nothing", policy.Prevent), execs("a-see", policy.Report)
	dry, dryShell := audited(execs("a-dry", policy.Kill)), audited(execs("a-shell", policy.Kill, runs("/bin/sh")))
	wide := clusterWide(execs("z-wide", policy.Prevent), all)
	run := func(program, parent string) policy.ExecAct {
		return policy.ExecAct{Program: ofImage(program), Parent: ofImage(parent)}
	}
	summed := func(s string) policy.ExecAct {
		return policy.ExecAct{Program: policy.Program{Path: "/bin/pay", SHA256: s, Image: true}}
	}
	entry := policy.ExecAct{Program: ofImage("/bin/sh")}
	copied := policy.ExecAct{Program: policy.Program{Path: "/bin/pay"}}
	byCopy := policy.ExecAct{Program: ofImage("/bin/sh"), Parent: policy.Program{Path: "/bin/pay"}}
	unknown := policy.ExecAct{Program: policy.Program{Image: true}}

	for name, tt := range map[string]struct {
		c    *policy.Cluster
		act  policy.ExecAct
		want Response
	}{
		"no section":                {cluster(runtimeRules("p")), run("/bin/sh", ""), passes},
		"allowed":                   {cluster(pay), run("/bin/pay", "/bin/sh"), passes},
		"not allowed":               {cluster(pay), run("/bin/sh", "/bin/pay"), response(policy.Prevent, pay, 0)},
		"empty section":             {cluster(nothing), run("/bin/pay", ""), response(policy.Prevent, nothing, 0)},
		"a copy":                    {cluster(pay), copied, response(policy.Prevent, pay, 0)},
		"path not known":            {cluster(execs("p", policy.Kill, runs("/**"))), unknown, response(policy.Kill, execs("p", ""), 0)},
		"parent":                    {cluster(shell), run("/bin/sh", "/bin/pay"), passes},
		"parent by pattern":         {cluster(shell), run("/bin/sh", "/opt/a"), passes},
		"other parent":              {cluster(shell), run("/bin/sh", "/opt/a/b"), response(policy.Kill, shell, 0)},
		"parent is a copy":          {cluster(shell), byCopy, response(policy.Kill, shell, 0)},
		"no parent":                 {cluster(shell), entry, response(policy.Kill, shell, 0)},
		"allows add up":             {cluster(pay, nothing, shell), run("/bin/sh", "/bin/pay"), passes},
		"strongest":                 {cluster(pay, nothing, shell), run("/bin/id", "/bin/pay"), response(policy.Kill, shell, 0)},
		"first by name":             {cluster(pay, nothing), run("/bin/id", ""), response(policy.Prevent, nothing, 0)},
		"kind first":                {cluster(pay, wide), run("/bin/id", ""), response(policy.Prevent, wide, 0)},
		"action Audit":              {cluster(see), run("/bin/id", ""), response(policy.Report, see, 0)},
		"Deny before Audit":         {cluster(see, pay), run("/bin/id", ""), response(policy.Prevent, pay, 0)},
		"audit policy":              {cluster(dry), run("/bin/id", ""), reported(response(policy.Kill, dry, 0))},
		"audit policy allows":       {cluster(dryShell), run("/bin/sh", ""), passes},
		"it allows nothing":         {cluster(dryShell, pay), run("/bin/sh", ""), response(policy.Prevent, pay, 0)},
		"it hides no action":        {cluster(dry, see), run("/bin/id", ""), response(policy.Report, see, 0)},
		"enforced allows for it":    {cluster(dry, pay), run("/bin/pay", ""), passes},
		"two audit policies add up": {cluster(dry, dryShell), run("/bin/sh", ""), passes},
		"sum":                       {cluster(execs("p", policy.Kill, sum)), summed("right"), passes},
		"wrong sum":                 {cluster(execs("p", policy.Kill, sum)), summed("wrong"), response(policy.Kill, execs("p", ""), 0)},
		"sum not known":             {cluster(execs("p", policy.Kill, sum)), summed(""), response(policy.Kill, execs("p", ""), 0)},
		"sum not asked":             {cluster(pay), summed("any"), passes},
	} {
		if diff := cmp.Diff(tt.want, Exec(tt.c, web, tt.act)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	for _, pod := range []policy.PodKey{db, scan} {
		if got := Exec(cluster(nothing), pod, entry); got != passes {
			t.Errorf("%s is not selected: %+v", pod, got)
		}
	}
	if got := Exec(cluster(wide), scan, entry); got != response(policy.Prevent, wide, 0) {
		t.Errorf("%s is selected by a ClusterWorkloadPolicy: %+v", scan, got)
	}
	if got := Exec(cluster(wide), node, entry); got != passes {
		t.Errorf("%s is of the host's network: %+v", node, got)
	}
}

func TestCapability(t *testing.T) {
	raw := policy.CapabilityRule{Names: 1 << 13, Processes: processes("/bin/ping", "/opt/**")}
	bind := policy.CapabilityRule{Names: 1<<10 | 1<<40}
	p, kills := uses("p", policy.Prevent, bind, raw), uses("kills", policy.Kill, bind)
	act := func(program string, c policy.Capability) policy.CapabilityAct {
		return policy.CapabilityAct{Program: ofImage(program), Capability: c}
	}
	quiet := act("/bin/sh", 13)
	quiet.Unaudited = true
	copied := policy.CapabilityAct{Program: policy.Program{Path: "/bin/ping"}, Capability: 13}
	dry := audited(uses("a-dry", policy.Kill))

	for name, tt := range map[string]struct {
		c    *policy.Cluster
		act  policy.CapabilityAct
		want Response
	}{
		"no section":           {cluster(execs("p", policy.Kill)), act("/bin/sh", 0), passes},
		"every program":        {cluster(p), policy.CapabilityAct{Capability: 10}, passes},
		"second name":          {cluster(p), act("/bin/sh", 40), passes},
		"its program":          {cluster(p), act("/bin/ping", 13), passes},
		"its folder":           {cluster(p), act("/opt/a/b", 13), passes},
		"other program":        {cluster(p), act("/bin/sh", 13), response(policy.Prevent, p, 0)},
		"a copy":               {cluster(p), copied, response(policy.Prevent, p, 0)},
		"other capability":     {cluster(p), act("/bin/ping", 21), response(policy.Prevent, p, 0)},
		"strongest":            {cluster(p, kills), act("/bin/ping", 21), response(policy.Kill, kills, 0)},
		"allows add up":        {cluster(p, kills), act("/bin/ping", 13), passes},
		"unaudited":            {cluster(p), quiet, response(policy.Prevent, p, 0)},
		"no kill if unaudited": {cluster(p, kills), quiet, response(policy.Prevent, kills, 0)},
		"audit policy":         {cluster(dry), act("/bin/sh", 0), reported(response(policy.Kill, dry, 0))},
	} {
		if diff := cmp.Diff(tt.want, Capability(tt.c, web, tt.act)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestFile(t *testing.T) {
	rule := func(action policy.Action, operations policy.Operations, paths []string, allow ...string) policy.FileRule {
		return policy.FileRule{Paths: paths, Operations: operations, Allow: processes(allow...), Action: action}
	}
	secrets := []string{"/etc/shadow", "/run/secrets/**"}
	p := guards("p",
		rule(policy.Prevent, policy.OpRead|policy.OpWrite, secrets, "/bin/pay"),
		rule(policy.Kill, policy.OpDelete, []string{"/etc/*"}),
		rule(policy.Kill, policy.OpWrite, []string{"/run/**"}, "/bin/cp"))
	see := guards("a-see", rule(policy.Report, policy.OpRead, []string{"/**"}))
	dry := audited(guards("a-dry", rule(policy.Kill, policy.OpRead, []string{"/etc/shadow"}, "/bin/cat")))
	act := func(program string, operation policy.Operations, file string) policy.FileAct {
		return policy.FileAct{Program: ofImage(program), File: file, Operation: operation}
	}
	copied := act("/bin/pay", policy.OpRead, "/etc/shadow")
	copied.Image = false

	for name, tt := range map[string]struct {
		c    *policy.Cluster
		act  policy.FileAct
		want Response
	}{
		"no rule":              {cluster(p), act("/bin/sh", policy.OpRead, "/etc/passwd"), passes},
		"other operation":      {cluster(p), act("/bin/sh", policy.OpChmod, "/etc/shadow"), passes},
		"who may":              {cluster(p), act("/bin/pay", policy.OpRead, "/etc/shadow"), passes},
		"nobody else":          {cluster(p), act("/bin/sh", policy.OpRead, "/etc/shadow"), response(policy.Prevent, p, 0)},
		"a copy":               {cluster(p), copied, response(policy.Prevent, p, 0)},
		"any depth":            {cluster(p), act("/bin/sh", policy.OpRead, "/run/secrets/a/b"), response(policy.Prevent, p, 0)},
		"the folder itself":    {cluster(p), act("/bin/sh", policy.OpRead, "/run/secrets"), passes},
		"one level":            {cluster(p), act("/bin/pay", policy.OpDelete, "/etc/shadow"), response(policy.Kill, p, 1)},
		"not two":              {cluster(p), act("/bin/pay", policy.OpDelete, "/etc/ssl/key"), passes},
		"rules add up":         {cluster(p), act("/bin/cp", policy.OpWrite, "/run/secrets/a"), passes},
		"strongest rule":       {cluster(p), act("/bin/sh", policy.OpWrite, "/run/secrets/a"), response(policy.Kill, p, 2)},
		"action Audit":         {cluster(see), act("/bin/sh", policy.OpRead, "/etc/shadow"), response(policy.Report, see, 0)},
		"stronger than Audit":  {cluster(see, p), act("/bin/sh", policy.OpRead, "/etc/shadow"), response(policy.Prevent, p, 0)},
		"allowed by another":   {cluster(see, p), act("/bin/pay", policy.OpRead, "/etc/shadow"), passes},
		"audit policy":         {cluster(dry), act("/bin/sh", policy.OpRead, "/etc/shadow"), reported(response(policy.Kill, dry, 0))},
		"audit allows nothing": {cluster(dry, p), act("/bin/cat", policy.OpRead, "/etc/shadow"), response(policy.Prevent, p, 0)},
		"audit policy, allow":  {cluster(dry, p), act("/bin/pay", policy.OpRead, "/etc/shadow"), passes},
	} {
		if diff := cmp.Diff(tt.want, File(tt.c, web, tt.act)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestMatchesPath: the folders of a path say which patterns it is of.
func TestMatchesPath(t *testing.T) {
	for _, file := range []string{"/init", "/usr", "/usr/bin", "/usr/bin/git", "/usr/bin/a/b", "/usr/binary", "/u"} {
		for _, folder := range []string{"", "/u", "/usr", "/usr/bin", "/usr/bin/git"} {
			below := false
			for up := path.Dir(file); ; up = path.Dir(up) {
				below = below || up == path.Clean("/"+folder)
				if up == "/" {
					break
				}
			}
			if got := matchesPath(folder+"/**", file); got != below {
				t.Errorf("%s is of %s/**: %t", file, folder, got)
			}
			if got, want := matchesPath(folder+"/*", file), path.Dir(file) == path.Clean("/"+folder); got != want {
				t.Errorf("%s is of %s/*: %t", file, folder, got)
			}
			if got := matchesPath(folder, file); got != (folder == file) {
				t.Errorf("%s is %s: %t", file, folder, got)
			}
		}
	}
}

// TestRuntimeModes: over random clusters, what is enforced does not depend on Audit
// policies nor on the order of policies, and what is reported for them is what they
// would do.
func TestRuntimeModes(t *testing.T) {
	seed := rand.Uint64()
	type kind struct {
		section string
		action  policy.Action
		audit   bool
	}
	seen := map[kind]int{}
	for round := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, round))
		c := policytest.Random(r, policytest.Small)
		shuffled, without, enforced := *c.Cluster, *c.Cluster, *c.Cluster
		shuffled.WorkloadPolicies = slices.Clone(c.Cluster.WorkloadPolicies)
		r.Shuffle(len(shuffled.WorkloadPolicies), func(i, j int) {
			w := shuffled.WorkloadPolicies
			w[i], w[j] = w[j], w[i]
		})
		without.WorkloadPolicies, enforced.WorkloadPolicies = nil, nil
		for _, p := range c.Cluster.WorkloadPolicies {
			if p.Mode == policy.Enforce {
				without.WorkloadPolicies = append(without.WorkloadPolicies, p)
			}
			q := *p
			q.Mode = policy.Enforce
			enforced.WorkloadPolicies = append(enforced.WorkloadPolicies, &q)
		}
		for range 100 {
			pod := c.Local[r.IntN(len(c.Local))]
			exec, capability, file := policytest.Exec(r), policytest.Capability(r), policytest.File(r)
			for name, ask := range map[string]func(*policy.Cluster) Response{
				"exec":       func(c *policy.Cluster) Response { return Exec(c, pod, exec) },
				"capability": func(c *policy.Cluster) Response { return Capability(c, pod, capability) },
				"file":       func(c *policy.Cluster) Response { return File(c, pod, file) },
			} {
				got := ask(c.Cluster)
				inForce := got
				if got.Audit {
					inForce = passes
					if want := reported(ask(&enforced)); got != want {
						t.Fatalf("seed %d, round %d: %s of %s: %+v, if enforced %+v", seed, round, name, pod, got, want)
					}
				}
				if got != ask(&shuffled) || inForce != ask(&without) {
					t.Fatalf("seed %d, round %d: %s of %s: %+v, in another order %+v, without Audit policies %+v",
						seed, round, name, pod, got, ask(&shuffled), ask(&without))
				}
				seen[kind{name, got.Action, got.Audit}]++
			}
		}
	}
	if len(seen) < 3*(1+3*2) { // Ignore; three actions, taken or reported
		t.Errorf("seed %d: only %d answers: %v", seed, len(seen), seen)
	}
}
