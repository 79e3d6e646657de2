// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"strconv"
	"strings"

	"github.com/sluice-io/sluice/agent/rpc"
)

// Rule chooses rules; the zero value chooses all events, also those of no rule.
type Rule struct {
	kind, namespace, name string // "" is any; a cluster-scoped one's namespace is "-"
	index                 int    // -1 is any
}

// ParseRule reads Kind/namespace/name, as in a pod's policies, namespace/name or name
// alone, each with [index] behind it or not.
func ParseRule(s string) (r Rule, ok bool) {
	r.index = -1
	if policy, in, cut := strings.Cut(s, "["); cut {
		number, closed := strings.CutSuffix(in, "]")
		n, err := strconv.ParseUint(number, 10, 31)
		if !closed || err != nil {
			return Rule{}, false
		}
		s, r.index = policy, int(n)
	}
	parts := strings.Split(s, "/")
	for _, part := range parts {
		if part == "" {
			return Rule{}, false
		}
	}
	switch len(parts) {
	case 1:
		r.name = parts[0]
	case 2:
		r.namespace, r.name = parts[0], parts[1]
	case 3:
		r.kind, r.namespace, r.name = parts[0], parts[1], parts[2]
	default:
		return Rule{}, false
	}
	return r, true
}

// is says whether r chooses an event's rule, nil if it has none.
func (r Rule) is(of *rpc.Rule) bool {
	if r == (Rule{}) {
		return true
	}
	if of == nil {
		return false
	}
	namespace := of.Namespace
	if namespace == "" {
		namespace = "-"
	}
	return r.name == of.Name && (r.namespace == "" || r.namespace == namespace) &&
		(r.kind == "" || r.kind == of.Kind) && (r.index < 0 || r.index == of.Index)
}
