// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"sync"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/eval"
)

// effects are what eval.Lint finds in one snapshot, looked for when first asked:
// that takes up to a second where there are thousands of policies and pods.
type effects struct {
	once  sync.Once
	notes map[place][]string
}

// place is a rule, or with index -1 a policy as a whole.
type place struct {
	ref       policy.Ref
	direction string
	index     int
}

func (f *effects) look(c *policy.Cluster) {
	f.once.Do(func() {
		f.notes = make(map[place][]string)
		for _, found := range eval.Lint(c) {
			at := place{policy.Ref(found.Policy), found.Direction, found.Index}
			f.notes[at] = append(f.notes[at], found.Field+": "+found.Message)
		}
	})
}

// annotate says of policies and rules that have no effect why, and which are risky.
func (f *effects) annotate(c *policy.Cluster, policies []rpc.PolicyStatus) {
	if f == nil || c == nil {
		return
	}
	f.look(c)
	for i := range policies {
		p := &policies[i]
		if p.State == "degraded" {
			continue // what stands in its place is not what was written
		}
		ref := refOf(*p)
		p.Reason = joined(p.Reason, f.notes[place{ref, "", -1}])
		for j := range p.Rules {
			r := &p.Rules[j]
			if r.Direction != "" {
				r.Note = joined(r.Note, f.notes[place{ref, r.Direction, r.Index}])
			}
		}
	}
}

func refOf(p rpc.PolicyStatus) policy.Ref {
	return policy.Ref{Kind: policy.Kind(p.Kind), Namespace: p.Namespace, Name: p.Name}
}

func joined(first string, rest []string) string {
	if first != "" {
		rest = append([]string{first}, rest...)
	}
	return strings.Join(rest, "; ")
}
