// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

// view is one state of all objects. It is never changed once made.
type view struct {
	puts     map[policy.Ref]*manifest.Object
	stand    map[policy.Ref]owned // in manifests, and were not PUT
	problems []Problem
	// cluster makes the snapshot, once. Snapshots share the maps and lists of kinds in
	// which they do not differ; nobody changes them.
	cluster func() *policy.Cluster
}

// owned is an object and the manifest that it comes from, if any.
type owned struct {
	*manifest.Object
	file string
}

// resolve puts the sources together. Of one object in two places the first is in
// force: what was PUT before manifests, manifests by name. (A PUT of an object
// that a manifest owns is refused, so this is also the order in time.)
func (s *Store) resolve(puts map[policy.Ref]*manifest.Object) *view {
	v := &view{puts: puts, stand: make(map[policy.Ref]owned)}
	v.cluster = sync.OnceValue(v.gather)
	v.problems = append(v.problems, s.broken...)
	v.problems = append(v.problems, s.folder.problems...)
	for _, f := range s.folder.files {
		v.problems = append(v.problems, f.problems...)
		for _, o := range f.objects {
			first, taken := v.object(o.Ref)
			if !taken {
				v.stand[o.Ref] = owned{o.Object, f.name}
				continue
			}
			from := "it was applied over the API"
			if first.file != "" {
				from = "it stands in " + first.file
			}
			v.problems = append(v.problems, Problem{f.name, o.document, "metadata.name",
				o.Ref.String() + " is refused: " + from + " already; remove one of the two"})
		}
	}
	return v
}

// object is the object of a name, if there is one.
func (v *view) object(ref policy.Ref) (owned, bool) {
	if o, ok := v.puts[ref]; ok {
		return owned{Object: o}, true
	}
	o, ok := v.stand[ref]
	return o, ok
}

// objects are all of them.
func (v *view) objects() iter.Seq[*manifest.Object] {
	return func(yield func(*manifest.Object) bool) {
		for _, o := range v.puts {
			if !yield(o) {
				return
			}
		}
		for _, o := range v.stand {
			if !yield(o.Object) {
				return
			}
		}
	}
}

// sameObjects is true if both views would give the same Cluster.
func (v *view) sameObjects(o *view) bool {
	for a := range v.objects() {
		b, ok := o.object(a.Ref)
		if !ok || a != b.Object && !bytes.Equal(a.JSON, b.JSON) {
			return false
		}
	}
	return len(v.puts)+len(v.stand) == len(o.puts)+len(o.stand)
}

// with is v with an object more, or in the place of one that was PUT: puts has it,
// and no manifest.
func (v *view) with(o *manifest.Object, puts map[policy.Ref]*manifest.Object) *view {
	next := &view{puts: puts, stand: v.stand, problems: v.problems}
	next.cluster = sync.OnceValue(func() *policy.Cluster { return replaced(v.cluster(), o.Value) })
	return next
}

// replaced is c with one object put into it.
func replaced(c *policy.Cluster, object any) *policy.Cluster {
	out := *c
	switch value := object.(type) {
	case policy.Namespace:
		out.Namespaces = put(c.Namespaces, value.Name, value)
	case policy.Pod:
		out.Pods = put(c.Pods, value.PodKey, value)
	case policy.Node:
		out.Nodes = put(c.Nodes, value.Name, value)
	case policy.Service:
		out.Services = put(c.Services, value.ObjectKey, value)
	case policy.EndpointSlice:
		out.EndpointSlices = put(c.EndpointSlices, value.ObjectKey, value)
	case *policy.ClusterNetworkPolicy:
		out.ClusterNetworkPolicies = putPolicy(c.ClusterNetworkPolicies, value)
	case *policy.NetworkPolicy:
		out.NetworkPolicies = putPolicy(c.NetworkPolicies, value)
	case *policy.WorkloadPolicy:
		out.WorkloadPolicies = putPolicy(c.WorkloadPolicies, value)
	}
	return &out
}

func put[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	m = maps.Clone(m)
	m[key] = value
	return m
}

func putPolicy[P interface{ Ref() policy.Ref }](list []P, p P) []P {
	compare := func(a P, ref policy.Ref) int { return a.Ref().Compare(ref) }
	i, found := slices.BinarySearchFunc(list, p.Ref(), compare)
	list = slices.Clone(list)
	if found {
		list[i] = p
		return list
	}
	return slices.Insert(list, i, p)
}

// gather makes a Cluster of all objects.
func (v *view) gather() *policy.Cluster { return Cluster(v.objects()) }

// Cluster puts objects, each of which is there once, together. The result is the
// caller's.
func Cluster(objects iter.Seq[*manifest.Object]) *policy.Cluster {
	c := &policy.Cluster{
		Namespaces:     make(map[string]policy.Namespace),
		Pods:           make(map[policy.PodKey]policy.Pod),
		Nodes:          make(map[string]policy.Node),
		Services:       make(map[policy.ObjectKey]policy.Service),
		EndpointSlices: make(map[policy.ObjectKey]policy.EndpointSlice),
	}
	for o := range objects {
		switch value := o.Value.(type) {
		case policy.Namespace:
			c.Namespaces[value.Name] = value
		case policy.Pod:
			c.Pods[value.PodKey] = value
		case policy.Node:
			c.Nodes[value.Name] = value
		case policy.Service:
			c.Services[value.ObjectKey] = value
		case policy.EndpointSlice:
			c.EndpointSlices[value.ObjectKey] = value
		case *policy.ClusterNetworkPolicy:
			c.ClusterNetworkPolicies = append(c.ClusterNetworkPolicies, value)
		case *policy.NetworkPolicy:
			c.NetworkPolicies = append(c.NetworkPolicies, value)
		case *policy.WorkloadPolicy:
			c.WorkloadPolicies = append(c.WorkloadPolicies, value)
		}
	}
	sortByRef(c.ClusterNetworkPolicies)
	sortByRef(c.NetworkPolicies)
	sortByRef(c.WorkloadPolicies)
	return c
}

// sortByRef gives equal objects equal Clusters.
func sortByRef[P interface{ Ref() policy.Ref }](policies []P) {
	slices.SortFunc(policies, func(a, b P) int { return a.Ref().Compare(b.Ref()) })
}
