// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/eval"
)

// named is what rules name that is looked up in containers, each once. What a pattern for
// programs matches goes by its path, so that there is nothing to look up.
type named struct {
	paths  []string        // of programs
	sums   map[string]bool // paths of whose file a sum is asked too
	seen   map[string]bool
	files  *policy.Cluster // with the policies alone that have rules on files
	wanted map[policy.PodKey]*wanted
}

// wanted is what the rules on files name that are on one pod.
type wanted struct {
	uses   []string // paths
	places []string // folders of patterns, with the final slash
}

// namedBy lists the paths of a cluster's rules.
func namedBy(c *policy.Cluster) *named {
	files := *c
	files.WorkloadPolicies = nil
	n := &named{
		sums: make(map[string]bool), seen: make(map[string]bool), files: &files, wanted: make(map[policy.PodKey]*wanted),
	}
	for _, p := range c.WorkloadPolicies {
		for _, rules := range p.Rules {
			for _, r := range rules {
				n.add(r.Processes...)
			}
		}
		if p.Exec != nil {
			for _, x := range p.Exec.Allow {
				n.add(x.Process)
				n.add(x.Parents...)
				n.sums[x.Path] = n.sums[x.Path] || x.SHA256 != ""
			}
		}
		if p.Capabilities != nil {
			for _, x := range p.Capabilities.Allow {
				n.add(x.Processes...)
			}
		}
		for _, r := range p.Files {
			n.add(r.Allow...)
		}
		if len(p.Files) > 0 {
			files.WorkloadPolicies = append(files.WorkloadPolicies, p)
		}
	}
	return n
}

// on is what rules on files name that are on a pod: of those of others there may be many.
func (n *named) on(pod policy.PodKey) *wanted {
	w, ok := n.wanted[pod]
	if ok {
		return w
	}
	uses, folders := make(map[string]bool), make(map[string]bool) // two patterns may be for one folder
	for _, p := range eval.WorkloadPoliciesOf(n.files, pod) {
		for _, r := range p.Files {
			for _, path := range r.Paths {
				if isPattern(path) {
					folders[strings.TrimRight(path, "*")] = true
				} else {
					uses[path] = true
				}
			}
		}
	}
	w = &wanted{slices.Sorted(maps.Keys(uses)), slices.Sorted(maps.Keys(folders))}
	n.wanted[pod] = w
	return w
}

func (n *named) add(list ...policy.Process) {
	for _, p := range list {
		if !n.seen[p.Path] && !isPattern(p.Path) {
			n.seen[p.Path] = true
			n.paths = append(n.paths, p.Path)
		}
	}
}

// isPattern is true for what a manifest has with a *: it takes one at the end alone.
func isPattern(path string) bool {
	return strings.HasSuffix(path, "/*") || strings.HasSuffix(path, "/**")
}
