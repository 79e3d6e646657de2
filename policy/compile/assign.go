// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"net/netip"

	"github.com/sluice-io/sluice/policy"
)

// assignment says what the local pods are under.
type assignment struct {
	ruleSets map[policy.PodKey]*ruleSet // nil: nothing asks for anything
	selected map[policy.PodKey][]policy.Ref
	sources  map[policy.PodKey][]netip.Prefix
	distinct []*ruleSet           // in the order of Input.Local
	known    map[string]*selected // by what the node gives, policies and the numbers of their port names
	closed   map[policy.PodKey][]policy.Ref
}

// selected is what pods are under that the same policies select, and that have the
// same numbers for their port names.
type selected struct {
	*ruleSet // nil: nothing asks for anything
	refs     []policy.Ref
	closed   []policy.Ref // that close the pods
}

// assign finds the policies that select each local pod. Pods that the same ones
// select, and that have the same numbers for their port names, share a rule set.
// A pod that the cluster does not hold has no labels.
func assign(cluster snapshot, in Input, policies []*lowered, last map[string]*selected) assignment {
	out := assignment{
		ruleSets: make(map[policy.PodKey]*ruleSet, len(in.Local)),
		selected: make(map[policy.PodKey][]policy.Ref, len(in.Local)),
		sources:  make(map[policy.PodKey][]netip.Prefix),
		known:    make(map[string]*selected, len(last)),
		closed:   make(map[policy.PodKey][]policy.Ref),
	}
	by := newSubjects(cluster, policies)
	seen := make(map[sum]bool)
	var policiesOf []*lowered
	var id encoding
	gives := fmt.Append(nil, in.Gives)
	for _, key := range in.Local {
		pod := cluster.Pods[key]
		pod.PodKey = key
		policiesOf = by.selecting(policiesOf[:0], pod)
		id = identify(append(id[:0], gives...), policiesOf, pod.Ports)
		s, ok := out.known[string(id)]
		if !ok {
			if s, ok = last[string(id)]; !ok {
				s = newSelected(policiesOf, pod.Ports, in.Gives)
			}
			out.known[string(id)] = s
		}
		if len(s.closed) > 0 {
			out.closed[key] = s.closed
		}
		if len(s.refs) > 0 {
			out.selected[key] = s.refs
		}
		out.ruleSets[key] = s.ruleSet
		if s.ruleSet == nil {
			continue
		}
		if len(s.sources) > 0 {
			out.sources[key] = s.sources
		}
		if !seen[s.sum] {
			seen[s.sum] = true
			out.distinct = append(out.distinct, s.ruleSet)
		}
	}
	return out
}

// identify appends the policies that select a pod, and the numbers of their port names
// on it.
func identify(e encoding, policies []*lowered, ports []policy.ContainerPort) encoding {
	for _, p := range policies {
		e = e.number(int(p.serial))
		for _, name := range p.names {
			list := numbers([]policy.Port{name}, ports)
			e = e.number(len(list))
			for _, n := range list {
				e = e.port(portByNumber(n))
			}
		}
	}
	return e
}

func newSelected(policies []*lowered, ports []policy.ContainerPort, gives Gives) *selected {
	s := &selected{ruleSet: newRuleSet(policies, ports, gives), closed: closing(policies, gives)}
	for _, p := range policies {
		s.refs = append(s.refs, p.ref)
	}
	return s
}

// subjects finds the policies that select a pod.
type subjects struct {
	cluster    snapshot
	wide       []*lowered            // cluster-scoped
	namespaced map[string][]*lowered // by namespace
}

func newSubjects(c snapshot, policies []*lowered) subjects {
	s := subjects{cluster: c, namespaced: make(map[string][]*lowered)}
	for _, p := range policies {
		if p.namespaces != nil {
			s.wide = append(s.wide, p)
		} else {
			s.namespaced[p.ref.Namespace] = append(s.namespaced[p.ref.Namespace], p)
		}
	}
	return s
}

// selecting appends the policies that select a pod, sorted by ref: cluster-scoped
// kinds come first.
func (s subjects) selecting(out []*lowered, pod policy.Pod) []*lowered {
	if pod.HostNetwork {
		return out
	}
	for _, p := range s.wide {
		if matches(p.pods, pod.Labels) && matches(*p.namespaces, s.cluster.namespaceLabels(pod.Namespace)) {
			out = append(out, p)
		}
	}
	for _, p := range s.namespaced[pod.Namespace] {
		if matches(p.pods, pod.Labels) {
			out = append(out, p)
		}
	}
	return out
}
