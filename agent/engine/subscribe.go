// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
)

// subscriptions are what readers ask to be told beside what is told anyway.
type subscriptions struct {
	mu   sync.Mutex
	open map[*subscription]struct{}
	told map[uint32]datapath.Tells // by slot, as the kernel has it
}

type subscription struct {
	pod   rpc.PodRef // the zero value is all
	tells datapath.Tells
}

// Subscribe has events of a type told of a pod, or of all pods for an empty one, until
// cancel is called. Types that need rules are told anyway.
func (e *Engine) Subscribe(pod rpc.PodRef, event string) (cancel func()) {
	s := &subscription{pod, datapath.TellsOf(event)}
	if s.tells == 0 {
		return func() {}
	}
	e.subscribe(func(open map[*subscription]struct{}) { open[s] = struct{}{} })
	return func() { e.subscribe(func(open map[*subscription]struct{}) { delete(open, s) }) }
}

// subscribe changes the subscriptions and brings them to the kernel for the pods that
// are here.
func (e *Engine) subscribe(change func(map[*subscription]struct{})) {
	s := &e.subscriptions
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.open)
	want := make(map[uint32]datapath.Tells)
	for _, p := range e.view.load().pods {
		for sub := range s.open {
			if sub.pod == (rpc.PodRef{}) || sub.pod == (rpc.PodRef{Namespace: p.Namespace, Name: p.Name}) {
				want[p.Slot] |= sub.tells
			}
		}
	}
	for slot := range s.told {
		if _, ok := want[slot]; !ok {
			want[slot] = 0
		}
	}
	for slot, tells := range want {
		if s.told[slot] == tells {
			continue
		}
		if err := e.dp.Subscribe(slot, tells); err != nil {
			e.log.Error("events are not told", "error", err)
			continue
		}
		if s.told[slot] = tells; tells == 0 {
			delete(s.told, slot)
		}
	}
}
