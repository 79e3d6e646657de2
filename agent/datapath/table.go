// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// batchFrom is the number of changes from which one batch call is the cheaper.
const batchFrom = 64

// table is one policy map and the agent's knowledge of what is in it: the agent is
// its only writer.
type table[K, V comparable] struct {
	m       *ebpf.Map
	have    map[K]held[V]
	round   uint32        // counts calls of add
	refused atomic.Uint64 // entries that found no room
}

// held is a value in the map and the last round that wanted its key.
type held[V comparable] struct {
	value V
	round uint32
}

// open reads what the map holds.
func (t *table[K, V]) open(m *ebpf.Map) error {
	t.m = m
	t.have = make(map[K]held[V])
	var k K
	var v V
	it := m.Iterate()
	for it.Next(&k, &v) {
		t.have[k] = held[V]{value: v}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map %s: %w", m, err)
	}
	return nil
}

// add writes what want, which has each key once, has and the map has not. What it
// wrote before an error is left for a later prune.
func (t *table[K, V]) add(want iter.Seq2[K, V]) error {
	t.round++
	var keys []K
	var values []V
	for k, v := range want {
		if old, ok := t.have[k]; ok && old.value == v {
			t.have[k] = held[V]{v, t.round}
		} else {
			keys, values = append(keys, k), append(values, v)
		}
	}
	done := 0
	if len(keys) >= batchFrom {
		n, err := t.m.BatchUpdate(keys, values, nil)
		if err == nil {
			done = n
		}
	}
	for i := range keys {
		if i >= done {
			if err := t.m.Put(keys[i], values[i]); err != nil {
				return t.putError(err)
			}
		}
		t.have[keys[i]] = held[V]{values[i], t.round}
	}
	return nil
}

func (t *table[K, V]) putError(err error) error {
	if state.IsFull(err) {
		t.refused.Add(1)
		return fmt.Errorf("%w: map %s holds %d entries", ErrNoFit, name(t.m), t.m.MaxEntries())
	}
	return fmt.Errorf("write map %s: %w", name(t.m), err)
}

// prune removes what the last add did not want.
func (t *table[K, V]) prune() error {
	for k, v := range t.have {
		if v.round == t.round {
			continue
		}
		if err := t.m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("clean map %s: %w", name(t.m), err)
		}
		delete(t.have, k)
	}
	return nil
}

func name(m *ebpf.Map) string {
	if info, err := m.Info(); err == nil {
		return info.Name
	}
	return m.String()
}
