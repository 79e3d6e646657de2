// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// encoding is a canonical encoding: equal for equal contents only. Each begins
// with its kind; strings and lists bear their length.
type encoding []byte

// kind is a kind of content.
type kind byte

const (
	kindPair kind = iota + 1
	kindBlock
	kindClass
	kindRule
	kindRuleSet
	kindRuleRef
	kindPorts
	kindProcesses
	kindProgram
	kindAccounts
	kindService
	kindNodes
	kindWorld
	kindNamed
	kindNumber
	kindList
	kindPermits
	kindFiles
)

func encode(k kind) encoding { return encoding{byte(k)} }

func (e encoding) sum() sum { return sha256.Sum256(e) }

func (e encoding) number(n int) encoding { return binary.AppendUvarint(e, uint64(n)) }

func (e encoding) flag(b bool) encoding {
	if b {
		return append(e, 1)
	}
	return append(e, 0)
}

func (e encoding) string(s string) encoding { return append(e.number(len(s)), s...) }

func (e encoding) strings(list []string) encoding {
	e = e.number(len(list))
	for _, s := range list {
		e = e.string(s)
	}
	return e
}

func (e encoding) ref(r policy.RuleRef) encoding {
	return e.string(string(r.Policy.Kind)).string(r.Policy.Namespace).string(r.Policy.Name).number(r.Index)
}

func (e encoding) prefix(p netip.Prefix) encoding {
	return e.string(string(p.Addr().AsSlice())).number(p.Bits())
}

func (e encoding) port(p PortKey) encoding {
	return e.number(int(p.Protocol)).number(int(p.Bits)).number(int(p.Port))
}

// selector encodes a selector, whatever the order of its requirements and values.
func (e encoding) selector(s policy.Selector) encoding {
	var list []string
	for _, r := range s.Requirements {
		q := encoding{}.string(r.Key).string(string(r.Operator))
		if r.Operator == policy.In || r.Operator == policy.NotIn {
			q = q.strings(sortedSet(r.Values, cmp.Compare))
		}
		list = append(list, string(q))
	}
	return e.strings(sortedSet(list, cmp.Compare))
}

// sortedSet is a sorted copy of list, each element once.
func sortedSet[T comparable](list []T, compare func(a, b T) int) []T {
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}
