// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"net/netip"

	"github.com/sluice-io/sluice/policy"
)

// assignment says what the local pods are under.
type assignment struct {
	ruleSets map[policy.PodKey]*ruleSet // nil: nothing asks for anything
	selected map[policy.PodKey][]policy.Ref
	sources  map[policy.PodKey][]netip.Prefix
	distinct []*ruleSet          // in the order of Input.Local
	known    map[string]*ruleSet // by policies and the numbers of their port names
}

// assign finds the policies that select each local pod. Pods that the same ones
// select, and that have the same numbers for their port names, share a rule set.
// A pod that the cluster does not hold has no labels.
func assign(cluster snapshot, local []policy.PodKey, policies []*lowered, last map[string]*ruleSet) assignment {
	out := assignment{
		ruleSets: make(map[policy.PodKey]*ruleSet, len(local)),
		selected: make(map[policy.PodKey][]policy.Ref, len(local)),
		sources:  make(map[policy.PodKey][]netip.Prefix),
		known:    make(map[string]*ruleSet),
	}
	by := newSubjects(cluster, policies)
	seen := make(map[sum]bool)
	for _, key := range local {
		pod := cluster.Pods[key]
		pod.PodKey = key
		selected := by.selecting(pod)
		s := out.ruleSet(selected, pod.Ports, last)
		out.ruleSets[key] = s
		if s != nil && !seen[s.sum] {
			seen[s.sum] = true
			out.distinct = append(out.distinct, s)
		}
		if len(selected) > 0 {
			out.describe(key, selected)
		}
	}
	return out
}

// ruleSet is that of the pods which some policies select and which have some
// ports; last are those of the Image before.
func (a *assignment) ruleSet(policies []*lowered, ports []policy.ContainerPort, last map[string]*ruleSet) *ruleSet {
	var e encoding
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
	key := string(e)
	s, ok := a.known[key]
	if !ok {
		if s, ok = last[key]; !ok {
			s = newRuleSet(policies, ports)
		}
		a.known[key] = s
	}
	return s
}

// describe notes which policies select a pod, and the sources that they allow.
func (a *assignment) describe(key policy.PodKey, policies []*lowered) {
	var sources []netip.Prefix
	refs := make([]policy.Ref, len(policies))
	for i, p := range policies {
		refs[i] = p.ref
		sources = append(sources, p.sources...)
	}
	a.selected[key] = refs
	if len(sources) > 0 {
		a.sources[key] = sortedSet(sources, netip.Prefix.Compare)
	}
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

// selecting is the policies that select a pod, sorted by ref: cluster-scoped kinds
// come first.
func (s subjects) selecting(pod policy.Pod) []*lowered {
	if pod.HostNetwork {
		return nil
	}
	var out []*lowered
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
