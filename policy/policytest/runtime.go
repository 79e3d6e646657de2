// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// The stocks of runtime rules and acts. Some patterns lie within others, some paths
// are of no pattern, and one path is that of a folder.
var (
	programPatterns = []string{"/*", "/**", "/bin/*", "/bin/**", "/usr/*", "/usr/**", "/usr/bin/*", "/opt/tools/**"}
	programs        = []string{"/init", "/bin/unnamed", "/usr/unnamed", "/usr/bin/unnamed", "/usr/lib/git/git", "/opt/tools/a/b/c", "/binary"}
	sums            = []string{strings.Repeat("\x01", 32), strings.Repeat("\x02", 32)}
	filePatterns    = []string{"/**", "/etc/*", "/etc/**", "/etc/ssl/*", "/run/secrets/**", "/var/*"}
	files           = []string{"/etc/shadow", "/etc/passwd", "/etc/ssl/key.pem", "/run/secrets/db", "/run/secrets/tls/key", "/var", "/var/lib"}
	capabilities    = []policy.Capability{0, 10, 13, 21, 40}
	operations      = []policy.Operations{policy.OpRead, policy.OpWrite, policy.OpDelete, policy.OpMmapExec, policy.OpTruncate}
	actions         = []policy.Action{policy.Kill, policy.Prevent, policy.Report}
)

// addRuntime gives a policy each of the sections or not.
func addRuntime(r *rand.Rand, p *policy.WorkloadPolicy) {
	p.Fallback = pick(r, policy.Observe, policy.FallbackKill, policy.Close)
	if r.IntN(2) == 0 {
		p.Exec = &policy.Exec{Action: pick(r, actions...), ImageOnly: r.IntN(6) == 0}
		for !p.Exec.ImageOnly && r.IntN(3) > 0 {
			p.Exec.Allow = append(p.Exec.Allow, randomExecRule(r))
		}
	}
	if r.IntN(2) == 0 {
		p.Capabilities = &policy.Capabilities{Action: pick(r, actions...)}
		for range r.IntN(4) {
			p.Capabilities.Allow = append(p.Capabilities.Allow, randomCapabilityRule(r))
		}
	}
	used := make(map[string]policy.Action)
	for range r.IntN(4) {
		if rule := randomFileRule(r, used); len(rule.Paths) > 0 {
			p.Files = append(p.Files, rule)
		}
	}
}

// somePrograms are up to max different paths and patterns.
func somePrograms(r *rand.Rand, max int) []policy.Process {
	var out []policy.Process
	for range r.IntN(max + 1) {
		p := policy.Process{Path: pick(r, slices.Concat(paths, paths, programPatterns)...)}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func randomExecRule(r *rand.Rand) policy.ExecRule {
	rule := policy.ExecRule{Process: policy.Process{Path: pick(r, slices.Concat(paths, programPatterns)...)}}
	if !strings.Contains(rule.Path, "*") && r.IntN(3) == 0 {
		rule.SHA256 = pick(r, sums...)
	}
	if r.IntN(2) == 0 {
		rule.Parents = somePrograms(r, 2)
	}
	return rule
}

func randomCapabilityRule(r *rand.Rand) policy.CapabilityRule {
	var rule policy.CapabilityRule
	for range 1 + r.IntN(2) {
		rule.Names |= 1 << pick(r, capabilities...)
	}
	if r.IntN(2) == 0 {
		rule.Processes = somePrograms(r, 2)
	}
	return rule
}

// randomFileRule leaves out the paths that another rule of the policy has another
// action for; used is the action of each.
func randomFileRule(r *rand.Rand, used map[string]policy.Action) policy.FileRule {
	rule := policy.FileRule{Action: pick(r, actions...), Allow: somePrograms(r, 3)}
	for range 1 + r.IntN(3) {
		rule.Operations |= pick(r, operations...)
	}
	for range 1 + r.IntN(3) {
		path := pick(r, slices.Concat(files, filePatterns)...)
		if used[path] == "" {
			used[path] = rule.Action
		}
		if used[path] == rule.Action && !slices.Contains(rule.Paths, path) {
			rule.Paths = append(rule.Paths, path)
		}
	}
	return rule
}

// Exec asks about a program with a known sum or not, of the image mostly; now and then
// it has no parent.
func Exec(r *rand.Rand) policy.ExecAct {
	act := policy.ExecAct{Program: randomProgram(r)}
	if r.IntN(4) > 0 {
		act.Parent = randomProgram(r)
	}
	return act
}

// Capability asks about a capability that rules name, or another.
func Capability(r *rand.Rand) policy.CapabilityAct {
	return policy.CapabilityAct{
		Program:    randomProgram(r),
		Capability: pick(r, append([]policy.Capability{1, 39}, capabilities...)...),
		Unaudited:  r.IntN(4) == 0,
	}
}

// File asks about a file and an operation that rules name, or others.
func File(r *rand.Rand) policy.FileAct {
	return policy.FileAct{
		Program:   randomProgram(r),
		File:      pick(r, append([]string{"/unnamed", "/etc", "/etc/unnamed", "/etc/ssl/certs/a", "/variable"}, files...)...),
		Operation: pick(r, append([]policy.Operations{policy.OpChown}, operations...)...),
	}
}

func randomProgram(r *rand.Rand) policy.Program {
	p := policy.Program{
		Path:   pick(r, slices.Concat([]string{""}, paths, paths, programs)...),
		SHA256: pick(r, append([]string{""}, sums...)...),
		Image:  r.IntN(8) > 0,
	}
	p.Root = p.Image && r.IntN(4) > 0
	return p
}
