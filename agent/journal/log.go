// SPDX-License-Identifier: Apache-2.0

// Package journal keeps the latest flows and events of a node in memory and
// lets readers follow them.
package journal

import (
	"context"
	"sync"
	"sync/atomic"
)

// batchSize bounds what one Cursor.Next returns.
const batchSize = 256

// Log is a bounded list: the newest entries push out the oldest. Its methods may
// be called from any goroutine. Followers read from the list itself, so they
// cost no memory and cannot hold up a writer.
type Log[T any] struct {
	lost atomic.Uint64

	mu   sync.Mutex
	ring []T    // entry n is at n % size
	size int    // of the full ring
	next uint64 // number of the next entry
	wake chan struct{}
}

// NewLog returns a log of size entries; size must be positive.
func NewLog[T any](size int) *Log[T] { return &Log[T]{size: size} }

// Add appends an entry. It never blocks on a reader.
func (l *Log[T]) Add(entry T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < l.size {
		l.ring = append(l.ring, entry)
	} else {
		l.ring[l.next%uint64(l.size)] = entry
	}
	l.next++
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// Entries returns what the log holds, oldest first.
func (l *Log[T]) Entries() []T {
	entries, _ := l.Follow()
	return entries
}

// Follow returns what the log holds, oldest first, and a cursor that stands right
// behind it.
func (l *Log[T]) Follow() ([]T, *Cursor[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &Cursor[T]{log: l, at: l.oldest()}
	return c.take(len(l.ring)), c
}

// Lost is how many entries followers missed by being slow, in sum.
func (l *Log[T]) Lost() uint64 { return l.lost.Load() }

// oldest is the number of the oldest entry that is still there.
func (l *Log[T]) oldest() uint64 { return l.next - uint64(len(l.ring)) }

// Cursor is one follower's place in a Log. It is for one goroutine.
type Cursor[T any] struct {
	log *Log[T]
	at  uint64 // number of the entry to read next
}

// Next waits for entries behind the cursor and moves past them. lost is how many
// were pushed out before they could be read. The error is ctx's.
func (c *Cursor[T]) Next(ctx context.Context) (entries []T, lost uint64, err error) {
	for {
		entries, lost, wake := c.read()
		if wake == nil {
			return entries, lost, nil
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-wake:
		}
	}
}

// read returns a channel that the next Add closes if there is nothing to read.
func (c *Cursor[T]) read() (entries []T, lost uint64, wake <-chan struct{}) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.at == l.next {
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		return nil, 0, l.wake
	}
	if oldest := l.oldest(); c.at < oldest {
		lost = oldest - c.at
		l.lost.Add(lost)
		c.at = oldest
	}
	return c.take(batchSize), lost, nil
}

// take copies up to n entries; the log must be locked.
func (c *Cursor[T]) take(n int) []T {
	entries := make([]T, min(uint64(n), c.log.next-c.at))
	for i := range entries {
		entries[i] = c.log.ring[(c.at+uint64(i))%uint64(c.log.size)]
	}
	c.at += uint64(len(entries))
	return entries
}
