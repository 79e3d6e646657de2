// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"encoding/hex"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// Acts is what programs of a pod may do by the exec or capabilities sections.
type Acts struct {
	// Restricted says which policies restrict the pod. Where none does, or Audit policies
	// alone, everything is allowed.
	Restricted []Restriction `json:"restricted"`
	// Entries in the order of policies; any of them allows.
	Entries []AllowEntry `json:"entries"`
	// Otherwise says what happens to what no entry allows.
	Otherwise string `json:"otherwise"`
}

// Restriction is what a policy asks for where nothing allows an act.
type Restriction struct {
	Policy PolicyName    `json:"policy"`
	Action policy.Action `json:"action"`
	// Fallback is what a Deny becomes on a node without BPF LSM; else empty.
	Fallback policy.Fallback `json:"fallback,omitempty"`
	// Audit policies are only reported.
	Audit bool `json:"audit,omitempty"`
}

// AllowEntry is an entry of an exec or capabilities section in words.
type AllowEntry struct {
	Program      string     `json:"program,omitempty"`      // that may run
	SHA256       string     `json:"sha256,omitempty"`       // of its file, in hex
	Capabilities []string   `json:"capabilities,omitempty"` // that may be used
	By           []string   `json:"by"`                     // these parents or programs; empty: all
	Audit        bool       `json:"audit,omitempty"`
	Policy       PolicyName `json:"policy"`
}

// GuardedFiles is a file rule in words.
type GuardedFiles struct {
	Paths      []string `json:"paths"`
	Operations []string `json:"operations"`
	Allow      []string `json:"allow"` // the programs that may; empty: none
	Restriction
	Index int `json:"index"` // of the rule in its policy
}

func restrictionOf(p *policy.WorkloadPolicy, action policy.Action) Restriction {
	out := Restriction{Policy: PolicyName(p.Ref()), Action: action, Audit: p.Mode == policy.Audit}
	if action == policy.Prevent {
		out.Fallback = p.Fallback
	}
	return out
}

// WorkloadPoliciesOf are the policies that select a pod, in order.
func WorkloadPoliciesOf(c *policy.Cluster, key policy.PodKey) []*policy.WorkloadPolicy {
	var out []*policy.WorkloadPolicy
	for _, p := range c.WorkloadPolicies {
		if workloadSubject(c, podOf(c, key), p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *policy.WorkloadPolicy) int { return a.Ref().Compare(b.Ref()) })
	return out
}

func explainExec(c *policy.Cluster, key policy.PodKey) Acts {
	out := Acts{Restricted: []Restriction{}, Entries: []AllowEntry{}}
	for _, p := range WorkloadPoliciesOf(c, key) {
		if p.Exec == nil {
			continue
		}
		out.Restricted = append(out.Restricted, restrictionOf(p, p.Exec.Action))
		if p.Exec.ImageOnly {
			out.Entries = append(out.Entries, AllowEntry{
				Program: "any of the image", By: []string{}, Audit: p.Mode == policy.Audit, Policy: PolicyName(p.Ref()),
			})
		}
		for _, r := range p.Exec.Allow {
			out.Entries = append(out.Entries, AllowEntry{
				Program: r.Path, SHA256: hex.EncodeToString([]byte(r.SHA256)), By: processWords(r.Parents),
				Audit: p.Mode == policy.Audit, Policy: PolicyName(p.Ref()),
			})
		}
	}
	out.Otherwise = responseWords(Exec(c, key, policy.ExecAct{}))
	return out
}

func explainCapabilities(c *policy.Cluster, key policy.PodKey) Acts {
	out := Acts{Restricted: []Restriction{}, Entries: []AllowEntry{}}
	for _, p := range WorkloadPoliciesOf(c, key) {
		if p.Capabilities == nil {
			continue
		}
		out.Restricted = append(out.Restricted, restrictionOf(p, p.Capabilities.Action))
		for _, r := range p.Capabilities.Allow {
			out.Entries = append(out.Entries, AllowEntry{
				Capabilities: r.Names.Names(), By: processWords(r.Processes),
				Audit: p.Mode == policy.Audit, Policy: PolicyName(p.Ref()),
			})
		}
	}
	out.Otherwise = responseWords(Capability(c, key, policy.CapabilityAct{Capability: policy.NumCapabilities}))
	return out
}

func explainFiles(c *policy.Cluster, key policy.PodKey) []GuardedFiles {
	out := []GuardedFiles{}
	for _, p := range WorkloadPoliciesOf(c, key) {
		for i, r := range p.Files {
			out = append(out, GuardedFiles{
				Paths: r.Paths, Operations: r.Operations.Names(), Allow: processWords(r.Allow),
				Restriction: restrictionOf(p, r.Action), Index: i,
			})
		}
	}
	return out
}

func responseWords(r Response) string {
	if r.Audit {
		return "allowed, and reported: an Audit policy restricts it"
	}
	switch r.Action {
	case policy.Kill:
		return "killed"
	case policy.Prevent:
		return "denied"
	case policy.Report:
		return "allowed, and reported"
	}
	return "allowed: no policy restricts it"
}
