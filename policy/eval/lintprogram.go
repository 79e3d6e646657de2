// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// redundant reports each j of a list that another entry i covers; of equal ones all but
// the first.
func redundant[T any](list []T, covers func(a, b T) bool, report func(j, i int)) {
	for j := range list {
		for i := range list {
			if i != j && covers(list[i], list[j]) && (i < j || !covers(list[j], list[i])) {
				report(j, i)
				break
			}
		}
	}
}

// coversPath says whether every path that b matches is matched by a.
func coversPath(a, b string) bool {
	if deep, ok := strings.CutSuffix(a, "**"); ok {
		return strings.HasPrefix(b, deep)
	}
	return a == b || !strings.HasSuffix(b, "*") && matchesPath(a, b)
}

func coversProcess(a, b policy.Process) bool { return coversPath(a.Path, b.Path) }

func coversExec(a, b policy.ExecRule) bool {
	return coversProcess(a.Process, b.Process) && (a.SHA256 == "" || a.SHA256 == b.SHA256) &&
		covers(a.Parents, b.Parents, coversProcess)
}

func coversCapabilities(a, b policy.CapabilityRule) bool {
	return b.Names&^a.Names == 0 && covers(a.Processes, b.Processes, coversProcess)
}

// coversFileRule says whether a rule has no effect beside another one of its policy.
func coversFileRule(a, b policy.FileRule) bool {
	strength := []policy.Action{policy.Kill, policy.Prevent, policy.Report}
	return b.Operations&^a.Operations == 0 && slices.Index(strength, a.Action) <= slices.Index(strength, b.Action) &&
		every(b.Paths, func(y string) bool {
			return slices.ContainsFunc(a.Paths, func(x string) bool { return coversPath(x, y) })
		}) &&
		every(b.Allow, func(y policy.Process) bool {
			return slices.ContainsFunc(a.Allow, func(x policy.Process) bool { return coversProcess(x, y) })
		})
}
