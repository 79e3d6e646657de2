// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/test/harness"
)

const (
	writers      = 8      // as in writer.bpf.c
	eventRate    = 100000 // a second, of all writers
	eventsPaced  = 5 * eventRate
	eventsAtOnce = 2 * eventRate
	writerTick   = time.Millisecond
	lastEvent    = 10 * time.Second // bounds the wait for it to be read
)

// events measures what becomes of events that eight writers tell as the process
// programs do: the agent has each, or the kernel has counted it as lost.
func events(ctx context.Context, f figures, bin string) (err error) {
	n, err := harness.NewNode(harness.Config{
		CNIPath: []string{bin, filepath.Join(bin, "cni")}, Agent: filepath.Join(bin, "sluice"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if _, err := n.StartAgent(ctx); err != nil {
		return err
	}
	w, err := newWriters(ctx, n)
	if err != nil {
		return err
	}
	defer w.programs.Close()
	if err := w.measure(ctx, f, "events", eventsPaced, eventRate); err != nil {
		return err
	}
	return w.measure(ctx, f, "flood", eventsAtOnce, 0)
}

// writersOf are processes of a pod that have forked, as far as anyone is told.
type writersOf struct {
	node     *harness.Node
	programs *ebpf.Collection
}

// newWriters has them descend from a process of a pod.
func newWriters(ctx context.Context, n *harness.Node) (_ *writersOf, err error) {
	p, err := n.AddPod(ctx, harness.PodSpec{})
	if err != nil {
		return nil, err
	}
	parent := p.Command(ctx, "sleep", "infinity")
	if err := parent.Start(); err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	go func() { _ = parent.Wait() }() // killed with the node
	s, err := state.Open(state.Dir(n.Bpffs))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var record state.RawProc
	if err := s.Procs.Lookup(uint32(parent.Process.Pid), &record); err != nil {
		return nil, fmt.Errorf("find record of process: %w", err)
	}
	spec, err := loadWriter()
	if err != nil {
		return nil, fmt.Errorf("read writer: %w", err)
	}
	w := &writersOf{node: n}
	if w.programs, err = s.Load(spec); err != nil {
		return nil, err
	}
	record.ParentExecId, record.ParentPid = record.ExecId, record.Pid
	for i := range uint32(writers) {
		record.Pid++
		if err := w.programs.Maps["children"].Put(i, record); err != nil {
			w.programs.Close()
			return nil, fmt.Errorf("write record: %w", err)
		}
	}
	return w, nil
}

// measure has the writers tell of n events, at a rate a second or, if that is 0, as fast
// as they can, and fails unless each is received or counted as lost.
func (w *writersOf) measure(ctx context.Context, f figures, name string, n, rate int) error {
	before, err := w.tally(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i := range uint32(writers) {
		g.Go(func() error { return w.write(ctx, i, n/writers, rate/writers) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(begin)
	received, lost, err := w.await(context.WithoutCancel(ctx), before, uint64(n))
	if err != nil {
		return err
	}
	f.add(name+"_sent", float64(n), "")
	f.add(name+"_received", float64(received), "")
	f.add(name+"_lost", float64(lost), "")
	f.add(name+"_per_second", float64(n)/took.Seconds(), "/s")
	return nil
}

// write tells of n events as one writer, so many at each tick as are due by then.
func (w *writersOf) write(ctx context.Context, writer uint32, n, rate int) error {
	tick := time.NewTicker(writerTick)
	defer tick.Stop()
	program := w.programs.Programs["fork_told"]
	begin := time.Now()
	for sent := 0; sent < n; {
		due := n
		if rate > 0 {
			due = min(n, int(time.Since(begin).Seconds()*float64(rate)))
		}
		for ; sent < due; sent++ {
			if status, err := program.Run(&ebpf.RunOptions{Context: writer}); err != nil || status != 0 {
				return fmt.Errorf("tell of an event: status %d, %w", status, err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// tallied are events that the agent has received, and that were lost before.
type tallied struct{ received, lost uint64 }

// await waits until all of n events are received or lost.
func (w *writersOf) await(ctx context.Context, before tallied, n uint64) (received, lost uint64, err error) {
	for end := time.Now().Add(lastEvent); ; time.Sleep(writerTick) {
		now, err := w.tally(ctx)
		if err != nil {
			return 0, 0, err
		}
		received, lost = now.received-before.received, now.lost-before.lost
		if received+lost == n {
			return received, lost, nil
		}
		if received+lost > n || time.Now().After(end) {
			return 0, 0, fmt.Errorf("of %d events %d were received and %d counted as lost", n, received, lost)
		}
	}
}

// tally reads the agent's metrics.
func (w *writersOf) tally(ctx context.Context) (t tallied, err error) {
	text, err := w.node.Metrics(ctx)
	if err != nil {
		return t, err
	}
	for name, to := range map[string]*uint64{
		`sluice_events_total{outcome="observed",type="fork"} `: &t.received,
		`sluice_events_lost_total{ring="processes"} `:          &t.lost,
	} {
		if _, after, found := strings.Cut(text, "\n"+name); found {
			var v float64 // large counts come with an exponent
			if _, err := fmt.Sscan(after, &v); err != nil {
				return t, fmt.Errorf("read metric %s: %w", name, err)
			}
			*to = uint64(v)
		}
	}
	return t, nil
}
