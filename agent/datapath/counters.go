// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// FlowEntry is one live flow.
type FlowEntry struct {
	Key  state.RawFlowKey
	Flow state.RawFlow
}

// Flows lists the live flows, denied ones too.
func (d *Datapath) Flows() ([]FlowEntry, error) {
	var e FlowEntry
	var list []FlowEntry
	it := d.state.Flows.Iterate()
	for it.Next(&e.Key, &e.Flow) {
		list = append(list, e)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("list flows: %w", err)
	}
	return list, nil
}

// Process gives the record of a process of a pod; false if there is none.
func (d *Datapath) Process(pid uint32) (state.RawProc, bool) {
	var p state.RawProc
	err := d.state.Procs.Lookup(pid, &p)
	return p, err == nil
}

// Total counts the flows of one verdict, direction and reason since the maps were
// made.
type Total struct {
	Verdict, Direction, Reason string
	Flows                      uint64
}

// Counters are the kernel's counters since the maps were made.
type Counters struct {
	Totals   []Total
	Drops    map[string]uint64 // frames by reason
	Spared   map[string]uint64 // frames not dropped, for enforcement was off
	Oddities map[string]uint64 // frames that passed without being judged
	Lost     map[string]uint64 // events by ring
	// Full are refused entries by what was full. Of looks, those at all processes that did
	// not find the end.
	Full map[string]uint64
	// Lifetimes are those of pods' processes, Execs what the kernel's program took for
	// each of their execs.
	Lifetimes, Execs Histogram
}

// Histogram counts times: Counts[i] of them were below 2^i * 1024 ns and in no bucket
// before, the last all others.
type Histogram struct {
	Counts []uint64
	Sum    time.Duration
}

// Counters reads them.
func (d *Datapath) Counters() (Counters, error) {
	var c Counters
	var err error
	if c.Drops, err = named(d.state.Drops, state.Reasons()); err != nil {
		return c, err
	}
	if c.Spared, err = named(d.state.Spared, state.Reasons()); err != nil {
		return c, err
	}
	if c.Oddities, err = named(d.state.Oddities, state.Oddities()); err != nil {
		return c, err
	}
	if c.Lost, err = named(d.state.Lost, state.Rings()); err != nil {
		return c, err
	}
	if c.Full, err = named(d.state.Full, state.Fulls()); err != nil {
		return c, err
	}
	for name, n := range d.tables.refused() {
		c.Full[name] += n
	}
	c.Full["looks"] = d.tasks.unsettled.Load()
	if c.Lifetimes, err = times(d.state.Times, state.TimeLife); err != nil {
		return c, err
	}
	if c.Execs, err = times(d.state.Times, state.TimeExec); err != nil {
		return c, err
	}
	c.Totals, err = totals(d.state.Totals)
	return c, err
}

func times(m *ebpf.Map, which uint32) (Histogram, error) {
	var per []state.RawHistogram
	if err := m.Lookup(which, &per); err != nil {
		return Histogram{}, fmt.Errorf("read histogram: %w", err)
	}
	h := Histogram{Counts: make([]uint64, len(state.RawHistogram{}.Buckets))}
	for _, cpu := range per {
		h.Sum += time.Duration(cpu.Sum)
		for i, n := range cpu.Buckets {
			h.Counts[i] += n
		}
	}
	return h, nil
}

func totals(m *ebpf.Map) ([]Total, error) {
	reasons := state.Reasons()
	var list []Total
	for i := range m.MaxEntries() {
		n, err := sum(m, i)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue
		}
		pair := int(i) / len(reasons)
		list = append(list, Total{
			Verdict:   state.Verdict(uint8(pair / 2)),
			Direction: [2]string{"ingress", "egress"}[pair%2],
			Reason:    reasons[int(i)%len(reasons)],
			Flows:     n,
		})
	}
	return list, nil
}

func named(m *ebpf.Map, names []string) (map[string]uint64, error) {
	out := make(map[string]uint64, len(names))
	for i, name := range names {
		n, err := sum(m, uint32(i))
		if err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, nil
}

func sum(m *ebpf.Map, i uint32) (uint64, error) {
	var per []uint64
	if err := m.Lookup(i, &per); err != nil {
		return 0, fmt.Errorf("read counter %s: %w", name(m), err)
	}
	var n uint64
	for _, v := range per {
		n += v
	}
	return n, nil
}

// MapFill is how full one map is.
type MapFill struct {
	Name         string
	Entries, Max uint64
}

// Fill counts the entries of every map that can be full. It walks the maps that
// the kernel writes.
func (d *Datapath) Fill() []MapFill {
	var list []MapFill
	d.state.Each(func(name string, m *ebpf.Map) {
		switch m.Type() {
		case ebpf.Hash, ebpf.LPMTrie:
			list = append(list, MapFill{name, entries(m), uint64(m.MaxEntries())})
		}
	})
	slices.SortFunc(list, func(a, b MapFill) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func entries(m *ebpf.Map) uint64 {
	key := make([]byte, m.KeySize())
	var n uint64
	for err := m.NextKey(nil, &key); err == nil && n < uint64(m.MaxEntries()); err = m.NextKey(key, &key) {
		n++
	}
	return n
}
