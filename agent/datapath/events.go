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

// Sink takes the kernel's events. Its methods are called from one goroutine each;
// what they are given is theirs to keep.
type Sink interface {
	Flow(state.RawFlowEvent)
	Process(state.RawProcessEvent)
	Escalation(state.RawEscalationEvent)
}

// readEvery is how often a ring is looked into. The kernel does not wake the reader
// for an observation; see submit in bpf/include/maps.h.
const readEvery = 20 * time.Millisecond

// Watch reads the three rings into sink until ctx ends.
func (d *Datapath) Watch(ctx context.Context, sink Sink) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return read(ctx, d.state.FlowRing, sink.Flow) })
	g.Go(func() error { return read(ctx, d.state.ProcessRing, sink.Process) })
	g.Go(func() error { return read(ctx, d.state.EnforceRing, sink.Escalation) })
	return g.Wait()
}

func read[T any](ctx context.Context, ring *ebpf.Map, sink func(T)) error {
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
		var v T
		if len(rec.RawSample) < int(unsafe.Sizeof(v)) {
			return fmt.Errorf("read ring: event of %d bytes, want %d", len(rec.RawSample), unsafe.Sizeof(v))
		}
		// The record is the C struct that T was generated from, and 8-byte aligned
		// only in the ring: copy, do not point.
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), rec.RawSample)
		sink(v)
	}
}
