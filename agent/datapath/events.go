// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-io/sluice/bpf/state"
)

// Sink takes the kernel's events. Its methods are called from one goroutine a
// ring; what they are given is theirs to keep.
type Sink interface {
	Flow(state.RawFlowEvent)
	Process(state.RawProcessEvent) // fork and exit
	Exec(state.RawExecEvent)
	Escalation(state.RawEscalationEvent)
}

// readEvery is how often a ring is looked into. The kernel does not wake the reader
// for an observation; see submit in bpf/include/maps.h.
const readEvery = 20 * time.Millisecond

// Watch reads the three rings into sink until ctx ends.
func (d *Datapath) Watch(ctx context.Context, sink Sink) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return read(ctx, d.state.FlowRing, one(sink.Flow)) })
	g.Go(func() error { return read(ctx, d.state.ProcessRing, either(sink.Process, sink.Exec)) })
	g.Go(func() error { return read(ctx, d.state.EnforceRing, one(sink.Escalation)) })
	return g.Wait()
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

func read(ctx context.Context, ring *ebpf.Map, sink func([]byte) error) error {
	r, err := ringbuf.NewReader(ring)
	if err != nil {
		return fmt.Errorf("open ring: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	defer r.Close()
	var rec ringbuf.Record
	for {
		r.SetDeadline(time.Now().Add(readEvery))
		err := r.ReadInto(&rec)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case errors.Is(err, os.ErrClosed) || ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read ring: %w", err)
		}
		if err := sink(rec.RawSample); err != nil {
			return err
		}
	}
}
