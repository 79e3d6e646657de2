// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/v1alpha1"
)

func (c *checker) files(p *field.Path, in *v1alpha1.FilesSection) []policy.FileRule {
	if in == nil {
		return nil
	}
	var out []policy.FileRule
	seen := make(map[fileUse]int)
	for i, rule := range in.Rules {
		at := p.Child("rules").Index(i)
		out = append(out, policy.FileRule{
			Paths:      c.filePaths(at.Child("paths"), rule.Paths),
			Operations: c.operations(at.Child("operations"), rule.Operations),
			Allow:      c.programs(at.Child("allow"), rule.Allow),
			Action:     c.action(at, rule.Action),
		})
		c.contradiction(at, out, seen)
	}
	return out
}

func (c *checker) filePaths(p *field.Path, in []v1alpha1.Path) []string {
	if len(in) == 0 {
		c.add(p, "", "required; write paths such as /etc/shadow or /run/secrets/**")
	}
	var out []string
	seen := make(map[string]bool)
	for i, s := range in {
		c.pattern(p.Index(i), string(s))
		c.once(p.Index(i), seen, string(s), string(s))
		out = append(out, string(s))
	}
	return out
}

func (c *checker) operations(p *field.Path, in []v1alpha1.FileOperation) policy.Operations {
	const known = "Read, Write, Create, Delete, Rename, Link, Chmod, Chown, MountOver, MmapExec or Truncate"
	if len(in) == 0 {
		c.add(p, "", "required; write "+known)
	}
	var out policy.Operations
	seen := make(map[string]bool)
	for i, name := range in {
		o, ok := policy.ParseOperation(string(name))
		if !ok {
			c.add(p.Index(i), string(name), "unknown operation; write "+known)
			continue
		}
		c.once(p.Index(i), seen, string(name), string(name))
		out |= o
	}
	return out
}

// fileUse is one operation on a path, as a rule spells it.
type fileUse struct {
	path      string
	operation string
}

// contradiction looks for an earlier rule that does something else about a path and
// operation of the last one. Seen is the first rule of each.
func (c *checker) contradiction(p *field.Path, rules []policy.FileRule, seen map[fileUse]int) {
	last := len(rules) - 1
	for i, path := range rules[last].Paths {
		for _, operation := range rules[last].Operations.Names() {
			use := fileUse{path, operation}
			first, ok := seen[use]
			if !ok {
				seen[use] = last
			} else if rules[first].Action != rules[last].Action {
				c.add(p.Child("paths").Index(i), path, fmt.Sprintf("%s is %s in rules[%d] and %s here; write one action",
					operation, rules[first].Action, first, rules[last].Action))
				break
			}
		}
	}
}
