// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// inventory is the pods that selectors may select, sorted by namespace.
type inventory struct {
	pods       []policy.Pod
	namespaces []span
	inside     map[sum][]span // by namespace selector
}

// span is the pods of one namespace.
type span struct {
	labels     map[string]string
	begin, end int
}

func newInventory(c *policy.Cluster) *inventory {
	inv := &inventory{inside: make(map[sum][]span)}
	for _, pod := range c.Pods {
		if !pod.HostNetwork && len(pod.IPs) > 0 {
			inv.pods = append(inv.pods, pod)
		}
	}
	slices.SortFunc(inv.pods, func(a, b policy.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for begin := 0; begin < len(inv.pods); {
		name, end := inv.pods[begin].Namespace, begin+1
		for end < len(inv.pods) && inv.pods[end].Namespace == name {
			end++
		}
		labels := map[string]string{}
		maps.Copy(labels, c.Namespaces[name].Labels)
		labels[nameLabel] = name
		inv.namespaces = append(inv.namespaces, span{labels, begin, end})
		begin = end
	}
	return inv
}

// selected is the pods, by index, that an entry's selectors select.
func (inv *inventory) selected(e *entry) []int {
	var out []int
	for _, ns := range inv.selectedNamespaces(e.namespaces) {
		for i := ns.begin; i < ns.end; i++ {
			if matches(e.pods, inv.pods[i].Labels) {
				out = append(out, i)
			}
		}
	}
	return out
}

func (inv *inventory) selectedNamespaces(s policy.Selector) []span {
	key := encoding{}.selector(s).sum()
	out, ok := inv.inside[key]
	if !ok {
		for _, ns := range inv.namespaces {
			if matches(s, ns.labels) {
				out = append(out, ns)
			}
		}
		inv.inside[key] = out
	}
	return out
}
