// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/v1alpha1"
)

const (
	maxPath     = 255 // bytes that the kernel side keeps of a path
	maxPatterns = 256 // in one policy
)

// program is a program that a rule names.
func (c *checker) program(p *field.Path, in v1alpha1.Program) policy.Process {
	c.refuse(in.Interpreter != "", p.Child("interpreter"), string(in.Interpreter))
	c.pattern(p.Child("path"), string(in.Path))
	return policy.Process{Path: string(in.Path)}
}

func (c *checker) programs(p *field.Path, in []v1alpha1.Program) []policy.Process {
	var out []policy.Process
	seen := make(map[string]bool)
	for i, program := range in {
		at := p.Index(i)
		out = append(out, c.program(at, program))
		c.once(at, seen, string(program.Path), string(program.Path))
	}
	return out
}

// path asks for the one spelling that a resolved path has, so that a path that can
// never match is an error.
func (c *checker) path(p *field.Path, s string) {
	switch {
	case s == "":
		c.add(p, "", "required; write an absolute path inside the container")
	case len(s) > maxPath:
		c.add(p, s, fmt.Sprintf("longer than %d bytes; write a shorter path", maxPath))
	case !isResolved(s) || s == "/":
		c.add(p, s, "not an absolute path of a file without //, . and ..; write one such as /usr/bin/curl")
	}
}

// pattern asks for a path, or for a folder's with a /* or /** behind it.
func (c *checker) pattern(p *field.Path, s string) {
	folder, pattern := strings.CutSuffix(s, "/**")
	if !pattern {
		folder, pattern = strings.CutSuffix(s, "/*")
	}
	if pattern {
		c.patterns++
	}
	switch {
	case strings.Contains(folder, "*"):
		c.add(p, s, "a * stands at the end alone; write /usr/bin/* for what lies in a folder, /usr/** for what lies below it at any depth, or each path")
	case !pattern:
		c.path(p, s)
	case len(s) > maxPath:
		c.add(p, s, fmt.Sprintf("longer than %d bytes; write a shorter path", maxPath))
	case folder != "" && !isResolved(folder) || folder == "/":
		c.add(p, s, "not an absolute path of a folder without //, . and ..; write one such as /usr/bin/*")
	case c.patterns == maxPatterns+1:
		c.add(p, s, fmt.Sprintf("a policy has at most %d patterns; write wider ones, or a second policy", maxPatterns))
	}
}

func isResolved(s string) bool {
	return path.IsAbs(s) && path.Clean(s) == s && !strings.Contains(s, "\x00")
}
