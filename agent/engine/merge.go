// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// merging is the pods of the objects with the addresses that CNI gave those of this
// node, and what follows from them alone. It holds until objects or pods change, which
// most changes do not: thousands of pods are not gone through for one policy.
type merging struct {
	from  map[policy.PodKey]policy.Pod // of the objects
	with  []*pod                       // attached and not refused, by key
	pods  map[policy.PodKey]policy.Pod
	local []policy.PodKey
	addrs map[netip.Addr]policy.PodKey // whose address it is
}

// same says whether two maps are one. Clusters share the maps of kinds in which they
// do not differ, and nobody changes them.
func same(a, b map[policy.PodKey]policy.Pod) bool {
	return a != nil && reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// merge gives the merging of some objects, the last one if it holds.
func (e *Engine) merge(from map[policy.PodKey]policy.Pod) *merging {
	var with []*pod
	for _, key := range slices.Sorted(maps.Keys(e.pods)) {
		if p := e.pods[key]; p.refused == nil {
			with = append(with, p)
		}
	}
	if m := e.merging; m != nil && same(m.from, from) && slices.Equal(m.with, with) {
		return m
	}
	m := &merging{from: from, with: with, pods: maps.Clone(from), addrs: make(map[netip.Addr]policy.PodKey)}
	if m.pods == nil {
		m.pods = make(map[policy.PodKey]policy.Pod)
	}
	m.join()
	for key, p := range m.pods {
		if p.HostNetwork {
			continue
		}
		for _, a := range p.IPs {
			m.addrs[a] = key
		}
	}
	e.merging = m
	return m
}

// join gives the pods here their addresses, those of all their interfaces.
func (m *merging) join() {
	here := make(map[policy.PodKey]bool, len(m.with))
	for _, a := range m.with {
		p, known := m.pods[a.key()]
		if !known {
			p = policy.Pod{PodKey: a.key()}
		}
		if here[a.key()] { // a second interface of the same pod
			p.IPs = append(slices.Clone(p.IPs), a.IPs...)
		} else {
			here[a.key()] = true
			p.IPs = a.IPs
			m.local = append(m.local, a.key())
		}
		p.HostNetwork = false
		m.pods[a.key()] = p
	}
}

// merged is the cluster with the addresses that CNI gave the pods of this node.
func (e *Engine) merged() (*policy.Cluster, []policy.PodKey) { return e.mergedWith(e.cluster) }

func (e *Engine) mergedWith(from *policy.Cluster) (*policy.Cluster, []policy.PodKey) {
	c := *from
	m := e.merge(from.Pods)
	c.Pods = m.pods
	return &c, m.local
}
