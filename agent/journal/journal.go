// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"cmp"
	"slices"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
)

// Default sizes, in entries.
const (
	DefaultFlows  = 8192
	DefaultEvents = 8192
)

// Journal is the recent past of a node.
type Journal struct {
	Flows  *Log[rpc.Flow] // new, denied and closed ones
	Events *Log[rpc.Event]
}

// New returns an empty journal. Sizes of 0 are the defaults.
func New(flows, events int) *Journal {
	return &Journal{
		Flows:  NewLog[rpc.Flow](cmp.Or(flows, DefaultFlows)),
		Events: NewLog[rpc.Event](cmp.Or(events, DefaultEvents)),
	}
}

// Filter chooses entries; a zero field chooses all.
type Filter struct {
	Pod     rpc.PodRef
	Verdict string // flows only
	Type    string // events only
	Outcome string // events only
	Rule    Rule   // events only
	Since   time.Time
}

// Flow is true if f is chosen.
func (f *Filter) Flow(flow *rpc.Flow) bool {
	return f.pod(flow.Pod) && f.since(flow.Time) && (f.Verdict == "" || f.Verdict == flow.Verdict)
}

// Event is true if e is chosen.
func (f *Filter) Event(e *rpc.Event) bool {
	return f.pod(e.Pod) && f.since(e.Time) &&
		(f.Type == "" || f.Type == e.Type) && (f.Outcome == "" || f.Outcome == e.Outcome) && f.Rule.is(e.Rule)
}

func (f *Filter) pod(p rpc.PodRef) bool { return f.Pod == rpc.PodRef{} || f.Pod == p }

func (f *Filter) since(t time.Time) bool { return f.Since.IsZero() || !t.Before(f.Since) }

// Merge returns the newest state of each flow, in order of time. Of two states of
// one time the later in flows counts. A new flow's first state is older than any
// other, whatever its time: the kernel's table has a coarser clock.
func Merge(flows []rpc.Flow) []rpc.Flow {
	newest := make(map[string]int, len(flows)) // index by id
	for i := range flows {
		at, ok := newest[flows[i].ID]
		if !ok || !older(&flows[i], &flows[at]) {
			newest[flows[i].ID] = i
		}
	}
	merged := make([]rpc.Flow, 0, len(newest))
	for _, i := range newest {
		merged = append(merged, flows[i])
	}
	slices.SortFunc(merged, func(a, b rpc.Flow) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	return merged
}

func older(a, b *rpc.Flow) bool {
	if first := a.Phase == "new"; first != (b.Phase == "new") {
		return first
	}
	return a.Time.Before(b.Time)
}
