// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// FormerKey names what the pod at an address was at some time.
type FormerKey struct {
	Addr netip.Addr
	N    uint32
}

// Former is a pod as it was, with the labels that its namespace had.
type Former struct {
	Pod             policy.Pod
	NamespaceLabels map[string]string
}

// remember gives former pods their classes. There are few, so each is asked anew.
func (a *addresses) remember(formers map[FormerKey]Former) {
	before := a.former
	a.former = make(map[FormerKey]*class, len(formers))
	keys := slices.SortedFunc(maps.Keys(formers), func(x, y FormerKey) int { // fresh ids do not depend on map order
		return cmp.Or(x.Addr.Compare(y.Addr), cmp.Compare(x.N, y.N))
	})
	for _, k := range keys {
		a.former[k] = a.take(a.set(a.asWas(k.Addr, formers[k])))
	}
	for _, cl := range before {
		a.drop(cl)
	}
}

// asWas is an address with a pod as it was, and all else as it is.
func (a *addresses) asWas(ip netip.Addr, f Former) *address {
	labels := maps.Clone(f.NamespaceLabels)
	if labels == nil {
		labels = make(map[string]string)
	}
	labels[nameLabel] = f.Pod.Namespace
	o := &object{
		kind: policy.KindPod, namespace: f.Pod.Namespace, namespaceLabels: labels,
		labels: f.Pod.Labels, account: f.Pod.ServiceAccount, ports: f.Pod.Ports,
	}
	o.entries = a.selects.selecting(nil, o)
	out := &address{objects: []*object{o}, around: a.blocks.lookup(ip, ip.BitLen())}
	if now, ok := a.known[ip]; ok {
		for _, o := range now.objects {
			if o.kind != policy.KindPod {
				out.objects = append(out.objects, o)
			}
		}
	}
	return out
}

// formerClasses are the former pods' classes as an Image has them.
func (a *addresses) formerClasses() map[FormerKey]uint32 {
	out := make(map[FormerKey]uint32, len(a.former))
	for k, cl := range a.former {
		out[k] = cl.number()
	}
	return out
}
