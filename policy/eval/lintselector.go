// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// peerContradiction says why a peer's selectors can select nothing; "" if they can.
func peerContradiction(p policy.Peer) string {
	if p.ServiceAccounts != nil && p.ServiceAccounts.Namespaces != nil {
		return namespaceContradiction(*p.ServiceAccounts.Namespaces)
	}
	for _, s := range []*policy.Selector{p.Pods, p.Nodes} {
		if s != nil {
			if why := contradiction(*s); why != "" {
				return why
			}
		}
	}
	if p.Namespaces != nil {
		return namespaceContradiction(*p.Namespaces)
	}
	return ""
}

// namespaceContradiction is contradiction for namespaces, which always have their
// name as a label.
func namespaceContradiction(s policy.Selector) string {
	named := policy.Requirement{Key: nameLabel, Operator: policy.Exists}
	return contradiction(policy.Selector{Requirements: append([]policy.Requirement{named}, s.Requirements...)})
}

// contradiction says why no labels can meet a selector, and what to do; "" if some can.
func contradiction(s policy.Selector) string {
	for _, r := range s.Requirements {
		if why := contradictionOf(r.Key, s); why != "" {
			return why
		}
	}
	return ""
}

// contradictionOf looks at the requirements for one key.
func contradictionOf(key string, s policy.Selector) string {
	var values []string // that In leaves; meaningful if limited
	var needed, refused, limited bool
	var text []policy.Requirement
	for _, r := range s.Requirements {
		if r.Key != key {
			continue
		}
		text = append(text, r)
		switch r.Operator {
		case policy.In:
			if limited {
				values = slices.DeleteFunc(values, func(v string) bool { return !slices.Contains(r.Values, v) })
			} else {
				values = slices.Clone(r.Values)
			}
			needed, limited = true, true
		case policy.Exists:
			needed = true
		case policy.DoesNotExist:
			refused = true
		}
	}
	for _, r := range text {
		if r.Operator == policy.NotIn {
			values = slices.DeleteFunc(values, func(v string) bool { return slices.Contains(r.Values, v) })
		}
	}
	if needed && refused || limited && len(values) == 0 {
		return fmt.Sprintf("no label %s can meet %q; remove one of them", key, selectorWords(policy.Selector{Requirements: text}))
	}
	return ""
}
