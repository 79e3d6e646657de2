// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// anyMatches says whether a program is one of those named. "A file reached through a
// mount or mount namespace that the pod itself made, a copy, or another name for comm
// or argv[0] does not match."
func anyMatches(processes []policy.Process, program policy.Program) bool {
	return program.Image && program.Path != "" &&
		slices.ContainsFunc(processes, func(p policy.Process) bool { return matchesPath(p.Path, program.Path) })
}

// matchesPath: "Trailing /* one level, /** any depth."
func matchesPath(pattern, path string) bool {
	if folder, ok := strings.CutSuffix(pattern, "**"); ok {
		return strings.HasPrefix(path, folder)
	}
	if folder, ok := strings.CutSuffix(pattern, "*"); ok {
		name, inside := strings.CutPrefix(path, folder)
		return inside && !strings.Contains(name, "/")
	}
	return path == pattern
}
