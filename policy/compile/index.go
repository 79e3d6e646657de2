// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"maps"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// index finds the entries that may select an object by one thing that they ask
// of it.
type index map[trait]map[string][]*entry // by the value of the trait

// trait is something that an object has one value of, or none.
type trait struct {
	of   traitOf
	name string
}

type traitOf uint8

const (
	anyObject traitOf = iota
	podLabel
	namespaceLabel
	account
	portName
	service
)

func newIndex(entries []*entry) index {
	x := make(index)
	for _, e := range entries {
		t, values := e.asks()
		for _, v := range values {
			x.add(t, v, e)
		}
		if e.kind == kindService && len(e.selector) > 0 {
			key := slices.Min(slices.Collect(maps.Keys(e.selector)))
			x.add(trait{podLabel, key}, e.selector[key], e)
		}
	}
	return x
}

func (x index) add(t trait, value string, e *entry) {
	if x[t] == nil {
		x[t] = make(map[string][]*entry)
	}
	x[t][value] = append(x[t][value], e)
}

// asks is a trait that objects which the entry selects must have, and its values.
func (e *entry) asks() (trait, []string) {
	switch e.kind {
	case kindNamed:
		return trait{portName, e.port.Name}, []string{""}
	case kindService:
		return trait{of: service}, []string{e.service.Namespace + "/" + e.service.Name}
	case kindPair, kindAccounts:
		if r := firstIn(e.labels); r != nil {
			return trait{podLabel, r.Key}, slices.Compact(slices.Sorted(slices.Values(r.Values)))
		}
		if len(e.accounts) > 0 {
			return trait{of: account}, e.accounts
		}
		if r := firstIn(e.namespaces); r != nil {
			return trait{namespaceLabel, r.Key}, slices.Compact(slices.Sorted(slices.Values(r.Values)))
		}
	}
	return trait{of: anyObject}, []string{""}
}

func firstIn(s policy.Selector) *policy.Requirement {
	for i, r := range s.Requirements {
		if r.Operator == policy.In {
			return &s.Requirements[i]
		}
	}
	return nil
}

// value is an object's value of a trait.
func (o *object) value(t trait) (string, bool) {
	switch t.of {
	case podLabel:
		v, ok := o.labels[t.name]
		return v, ok
	case namespaceLabel:
		v, ok := o.namespaceLabels[t.name]
		return v, ok
	case account:
		return o.account, o.kind == policy.KindPod
	case portName:
		return "", slices.ContainsFunc(o.ports, func(c policy.ContainerPort) bool { return c.Name == t.name })
	case service:
		return o.namespace + "/" + o.service, o.kind == policy.KindEndpointSlice
	}
	return "", true
}

// selecting appends the entries that select an object.
func (x index) selecting(out []*entry, o *object) []*entry {
	for t, byValue := range x {
		v, ok := o.value(t)
		if !ok {
			continue
		}
		for _, e := range byValue[v] {
			if e.selects(o) {
				out = append(out, e)
			}
		}
	}
	return out
}
