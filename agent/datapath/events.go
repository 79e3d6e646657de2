// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/state"
)

// Sink takes the kernel's events. Flow, Process and Exec are called from one
// goroutine, Escalation and Act from another; what they are given is theirs to keep.
type Sink interface {
	Flow(state.RawFlowEvent)
	Process(state.RawProcessEvent) // fork and exit
	Exec(state.RawExecEvent)
	Escalation(state.RawEscalationEvent)
	Act(state.RawActEvent)
}

// readEvery is how often the rings of observations are looked into. The kernel
// does not wake the reader for them; see submit in bpf/include/maps.h.
const readEvery = 20 * time.Millisecond

// Watch reads the three rings into sink until ctx ends.
func (d *Datapath) Watch(ctx context.Context, sink Sink) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.observe(ctx, sink) })
	g.Go(func() error {
		return withRing(ctx, d.state.EnforceRing, func(r *ringbuf.Reader) error {
			for {
				rec, err := r.Read()
				if err != nil {
					return err
				}
				if err := either(sink.Escalation, sink.Act)(rec.RawSample); err != nil {
					return err
				}
			}
		})
	})
	return g.Wait()
}

// observe hands on flows and process events. A flow is told after the exec of its
// process: flows are taken out first, then the process events, and theirs is the
// first turn.
//
// Its thread yields to the pods: observation may be late, and is counted where it is
// too late.
func (d *Datapath) observe(ctx context.Context, sink Sink) error {
	runtime.LockOSThread() // and never unlocked: the thread ends with its priority
	if err := yieldToPods(); err != nil {
		return fmt.Errorf("lower the priority of observation: %w", err)
	}
	return withRing(ctx, d.state.FlowRing, func(flows *ringbuf.Reader) error {
		return withRing(ctx, d.state.ProcessRing, func(processes *ringbuf.Reader) error {
			flows.SetDeadline(time.Unix(1, 0)) // long past: nothing is waited for
			processes.SetDeadline(time.Unix(1, 0))
			tick := time.NewTicker(readEvery)
			defer tick.Stop()
			o := observer{flows: flows, processes: processes}
			for {
				var done chan struct{}
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				case done = <-d.sync:
				}
				if err := o.round(sink); err != nil {
					return err
				}
				if done != nil {
					close(done)
				}
			}
		})
	})
}

// Sync returns when the sink has been given what the kernel told so far, or after a
// while if nobody watches.
func (d *Datapath) Sync() {
	done := make(chan struct{})
	select {
	case d.sync <- done:
		<-done
	case <-time.After(5 * readEvery):
	}
}

// yieldToPods has this thread wait until a processor is free, and give it back soon
// when a pod wants it: events come in heaps, which else hold up a pod that has just
// been woken for a millisecond. Kernels before 6.12 know no slices and leave Runtime out.
func yieldToPods() error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: observerNice,
		Runtime: uint64(observerSlice.Nanoseconds()),
	}, 0)
}

const (
	// observerNice is the nice value of the thread that reads observations.
	observerNice = 10
	// observerSlice is how long it runs at a time; no kernel has shorter slices.
	observerSlice = 100 * time.Microsecond
)

// maxDrain bounds what is taken out of a ring at once.
const maxDrain = 4096

// observer reads the rings of observations; its buffers are used again.
type observer struct {
	flows, processes *ringbuf.Reader
	record           ringbuf.Record
	seen             []state.RawFlowEvent
}

func (o *observer) round(sink Sink) error {
	o.seen = o.seen[:0]
	err := o.drain(o.flows, one(func(f state.RawFlowEvent) { o.seen = append(o.seen, f) }))
	if err != nil {
		return err
	}
	if err := o.drain(o.processes, either(sink.Process, sink.Exec)); err != nil {
		return err
	}
	for _, f := range o.seen {
		sink.Flow(f)
	}
	return nil
}

// drain hands on what is in a ring, without waiting for more.
func (o *observer) drain(r *ringbuf.Reader, take func([]byte) error) error {
	for range maxDrain {
		err := r.ReadInto(&o.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := take(o.record.RawSample); err != nil {
			return err
		}
	}
	return nil
}

// withRing opens a ring for f; f's reader is closed when ctx ends, and that is no
// error.
func withRing(ctx context.Context, ring *ebpf.Map, f func(*ringbuf.Reader) error) error {
	r, err := ringbuf.NewReader(ring)
	if err != nil {
		return fmt.Errorf("open ring: %w", err)
	}
	defer r.Close()
	defer context.AfterFunc(ctx, func() { r.Close() })()
	if err := f(r); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("read ring: %w", err)
	}
	return nil
}

// one hands records of one type on.
func one[T any](sink func(T)) func([]byte) error {
	return func(b []byte) error {
		v, err := decode[T](b)
		if err == nil {
			sink(v)
		}
		return err
	}
}

// either hands records of two types on, told apart by their size.
func either[A, B any](a func(A), b func(B)) func([]byte) error {
	return func(raw []byte) error {
		var small A
		if len(raw) < int(unsafe.Sizeof(small))+8 {
			return one(a)(raw)
		}
		return one(b)(raw)
	}
}

// decode copies a record, which is the C struct that T was generated from; it is
// aligned in the ring only, so it cannot be pointed at.
func decode[T any](b []byte) (v T, err error) {
	if len(b) < int(unsafe.Sizeof(v)) {
		return v, fmt.Errorf("read ring: event of %d bytes, want %d", len(b), unsafe.Sizeof(v))
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), b)
	return v, nil
}
