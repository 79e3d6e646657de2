// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// addresses gives the addresses of a cluster's objects, and the prefixes of
// blocks, their classes. What did not change since the Image before is not looked
// at again.
type addresses struct {
	classes
	entries  *registry
	cluster  snapshot
	podCIDRs []netip.Prefix
	active   []*entry
	selects  index // the active entries but blocks
	objects  map[policy.Ref]*object
	known    map[netip.Addr]*address
	stale    []netip.Addr // whose class is to be found again
	blocks   *trie
	covered  map[netip.Prefix]*class
	former   map[FormerKey]*class

	peers    map[netip.Addr]uint32 // of the Image
	prefixes map[netip.Prefix]uint32
}

// address is an address of objects.
type address struct {
	objects []*object
	around  []*entry // blocks, by serial
	class   *class
	stale   bool
}

func newAddresses(ids *IDs, entries *registry) *addresses {
	return &addresses{
		classes:  classes{ids: ids, known: make(map[string]*class)},
		entries:  entries,
		cluster:  newSnapshot(&policy.Cluster{}),
		objects:  make(map[policy.Ref]*object),
		known:    make(map[netip.Addr]*address),
		blocks:   newTrie(nil, nil),
		peers:    map[netip.Addr]uint32{},
		prefixes: map[netip.Prefix]uint32{},
	}
}

// update goes over to another cluster, in which some objects changed, to the entries,
// by serial, that the rule sets of an Image use, and to other former pods.
func (a *addresses) update(image uint64, cluster snapshot, changed []policy.Ref, entries []*entry, formers map[FormerKey]Former) {
	a.image, a.cluster = image, cluster
	blocks := a.activate(entries)
	for _, ref := range changed {
		a.replace(ref, cluster.object(ref))
	}
	podCIDRs := podCIDRsOf(cluster)
	if blocks || !slices.Equal(podCIDRs, a.podCIDRs) {
		a.podCIDRs = podCIDRs
		a.layBlocks()
	}
	a.classify()
	a.remember(formers)
	for _, cl := range a.classes.known {
		a.ids.keep(cl.id)
	}
}

func podCIDRsOf(c snapshot) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range c.Nodes {
		out = append(out, n.PodCIDRs...)
	}
	return sortedSet(out, netip.Prefix.Compare)
}

// activate goes over to other entries and asks the objects about those that came.
// It says whether blocks are not what they were.
func (a *addresses) activate(entries []*entry) (blocks bool) {
	gone := 0
	for _, e := range a.active {
		if e.used != a.image || e.kind == kindService && !sameMap(e.selector, a.selector(e)) {
			e.asked = 0
			gone++
			blocks = blocks || e.isBlock()
		}
	}
	var come []*entry
	for _, e := range entries {
		if e.asked != 0 {
			continue
		}
		e.asked = a.image
		switch e.kind {
		case kindBlock, kindWorld:
			blocks = true
			continue
		case kindService:
			e.selector = a.selector(e)
		}
		come = append(come, e)
	}
	a.active = entries
	if gone > 0 || len(come) > 0 {
		a.selects = newIndex(slices.DeleteFunc(slices.Clone(entries), (*entry).isBlock))
		a.ask(newIndex(come))
	}
	return blocks
}

// selector is that of an entry's Service.
func (a *addresses) selector(e *entry) map[string]string {
	return a.cluster.Services[e.service].Selector
}

// ask asks every object about the entries that came, and takes those that went.
func (a *addresses) ask(come index) {
	for _, o := range a.objects {
		before := len(o.entries)
		o.entries = slices.DeleteFunc(o.entries, func(e *entry) bool { return e.asked == 0 || e.asked == a.image })
		left := len(o.entries)
		o.entries = come.selecting(o.entries, o)
		if left != before || len(o.entries) != left {
			a.touchAll(o)
		}
	}
}

// replace puts an object, nil for none, in the place of another.
func (a *addresses) replace(ref policy.Ref, o *object) {
	if old, ok := a.objects[ref]; ok {
		delete(a.objects, ref)
		a.touchAll(old)
		for _, ip := range old.ips {
			ad := a.known[ip]
			ad.objects = slices.DeleteFunc(ad.objects, func(x *object) bool { return x == old })
		}
	}
	if o == nil {
		return
	}
	a.objects[ref] = o
	o.entries = a.selects.selecting(nil, o)
	for _, ip := range o.ips {
		ad, ok := a.known[ip]
		if !ok {
			ad = &address{around: a.blocks.lookup(ip, ip.BitLen())}
			a.known[ip] = ad
		}
		ad.objects = append(ad.objects, o)
	}
	a.touchAll(o)
}

// touchAll has the classes of an object's addresses found again.
func (a *addresses) touchAll(o *object) {
	for _, ip := range o.ips {
		a.touchAddress(ip, a.known[ip])
	}
}

func (a *addresses) touchAddress(ip netip.Addr, ad *address) {
	if !ad.stale {
		ad.stale = true
		a.stale = append(a.stale, ip)
	}
}

// layBlocks makes the blocks anew and gives every prefix that they name its class.
func (a *addresses) layBlocks() {
	a.blocks = newTrie(slices.DeleteFunc(slices.Clone(a.active), func(e *entry) bool { return !e.isBlock() }), a.podCIDRs)
	for ip, ad := range a.known {
		around := a.blocks.lookup(ip, ip.BitLen())
		if !slices.Equal(around, ad.around) {
			a.touchAddress(ip, ad)
		}
		ad.around = around
	}
	before := a.covered
	a.covered = make(map[netip.Prefix]*class, len(a.blocks.order))
	a.prefixes = make(map[netip.Prefix]uint32, len(a.blocks.order))
	for _, p := range a.blocks.order {
		a.covered[p] = a.take(a.blocks.sets[p])
		a.prefixes[p] = a.covered[p].number()
	}
	for _, cl := range before {
		a.drop(cl)
	}
}

// classify finds the classes of the stale addresses. Those of no class are left
// out of the Image unless a prefix around has one.
func (a *addresses) classify() {
	slices.SortFunc(a.stale, netip.Addr.Compare) // fresh ids do not depend on map order
	copied := false
	for _, ip := range a.stale {
		ad := a.known[ip]
		ad.stale = false
		before := ad.class
		ad.class = a.take(a.set(ad))
		a.drop(before)
		number, there := ad.class.number(), ad.class != nil || len(ad.objects) > 0 && len(ad.around) > 0
		if len(ad.objects) == 0 {
			delete(a.known, ip)
		}
		if had, ok := a.peers[ip]; ok == there && had == number {
			continue
		}
		if !copied {
			a.peers, copied = maps.Clone(a.peers), true
		}
		if there {
			a.peers[ip] = number
		} else {
			delete(a.peers, ip)
		}
	}
	a.stale = a.stale[:0]
}

// set is the entries, by serial, that hold an address: those that select one of
// its objects, and the blocks around it.
func (a *addresses) set(ad *address) []*entry {
	if len(ad.objects) == 0 {
		return nil
	}
	inside := slices.ContainsFunc(ad.objects, (*object).inside)
	set := slices.DeleteFunc(slices.Clone(ad.around), func(e *entry) bool { return e.kind == kindWorld && inside })
	var pods []*object
	for _, o := range ad.objects {
		if o.kind == policy.KindPod {
			pods = append(pods, o)
		} else {
			set = append(set, o.entries...)
		}
	}
	byAddress := set
	for _, pod := range pods {
		for _, e := range pod.entries {
			if e.kind != kindNamed {
				set = append(set, e)
			} else if e.base == nil || slices.Contains(pod.entries, e.base) || slices.Contains(byAddress, e.base) {
				set = a.appendNumbers(set, e, pod)
			}
		}
	}
	return union(set, nil)
}

// appendNumbers appends what a named entry holds at the numbers that its name has
// on a pod.
func (a *addresses) appendNumbers(set []*entry, e *entry, pod *object) []*entry {
	for _, port := range numbers([]policy.Port{e.port}, pod.ports) {
		set = append(set, a.entries.number(e, port))
	}
	return set
}
