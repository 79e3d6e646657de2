// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// named is what rules name that is looked up in containers, each once. What a pattern for
// programs matches goes by its path, so that there is nothing to look up.
type named struct {
	paths  []string        // of programs
	sums   map[string]bool // paths of whose file a sum is asked too
	uses   []string        // paths that rules on files name
	places []string        // folders that their patterns name, with the final slash
	seen   map[string]bool
}

// namedBy lists the paths of a cluster's rules.
func namedBy(c *policy.Cluster) *named {
	n := &named{sums: make(map[string]bool), seen: make(map[string]bool)}
	uses := make(map[string]bool)
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
			for _, path := range r.Paths {
				uses[path] = true
			}
		}
	}
	n.use(uses)
	return n
}

// use notes what rules on files name. Two patterns may be for one folder.
func (n *named) use(paths map[string]bool) {
	folders := make(map[string]bool)
	for path := range paths {
		if isPattern(path) {
			folders[strings.TrimRight(path, "*")] = true
		} else {
			n.uses = append(n.uses, path)
		}
	}
	n.places = slices.Sorted(maps.Keys(folders))
	slices.Sort(n.uses)
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
