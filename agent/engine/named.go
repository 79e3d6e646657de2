// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// named is the paths that rules name, each once; true: of its file a sum is asked too.
// What a pattern matches goes by its path, so that there is nothing to look up.
type named struct {
	paths []string
	sums  map[string]bool
	seen  map[string]bool
}

// namedBy lists the paths of a cluster's rules.
func namedBy(c *policy.Cluster) *named {
	n := &named{sums: make(map[string]bool), seen: make(map[string]bool)}
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
	}
	return n
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
