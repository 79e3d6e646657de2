// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/sluice-io/sluice/policy"
)

// What is kept of former labels is bounded, and ends when the address changes hands.
func TestFormersAreBounded(t *testing.T) {
	e := new(Engine)
	relabel := func(app string, pods int, uid string) []former {
		c := &policy.Cluster{Pods: make(map[policy.PodKey]policy.Pod)}
		for i := range pods {
			key := policy.PodKey{Namespace: "default", Name: strconv.Itoa(i)}
			c.Pods[key] = policy.Pod{PodKey: key, UID: uid, Labels: map[string]string{"app": app},
				IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}}
		}
		held := e.holders(c)
		var over int
		e.formers, over = e.formersOf(c, held)
		e.over.Add(uint64(over))
		e.judged, e.held = c, held
		return e.formers
	}
	if n := len(relabel("0", 1, "a")); n != 0 {
		t.Errorf("%d formers of a pod that has just come", n)
	}
	for i := 1; i < 10; i++ {
		list := relabel(strconv.Itoa(i), 1, "a")
		if want := min(i, formersEach); len(list) != want {
			t.Fatalf("%d formers after %d changes, want %d", len(list), i, want)
		}
		for j, f := range list {
			if was := strconv.Itoa(i - len(list) + j); f.Pod.Labels["app"] != was || f.Until <= f.From || j > 0 && f.From != list[j-1].Until {
				t.Errorf("former %d of %d: %+v, want label %s", j, i, f, was)
			}
		}
		if same := relabel(strconv.Itoa(i), 1, "a"); len(same) != len(list) {
			t.Errorf("%d formers after no change, want %d", len(same), len(list))
		}
	}
	if n := e.over.Load(); n != 9-formersEach {
		t.Errorf("%d formers counted as too many for an address, want %d", n, 9-formersEach)
	}
	if n := len(relabel("9", 1, "b")); n != 0 {
		t.Errorf("%d formers of an address that changed hands", n)
	}
	relabel("0", 2*maxFormers, "b")
	if n := len(relabel("1", 2*maxFormers, "b")); n != maxFormers {
		t.Errorf("%d formers, want %d", n, maxFormers)
	}
	if n := e.over.Load(); n != 9-formersEach+1+maxFormers {
		t.Errorf("%d formers counted as too many, want %d", n, 9-formersEach+1+maxFormers)
	}
}
