// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"io"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/bpf/state"
)

// Tasks looks at the processes of pods. It is not safe for concurrent use. The caller
// must Close it.
type Tasks struct {
	coll *ebpf.Collection
	iter *link.Iter
}

// LoadTasks loads the program that looks.
func LoadTasks(s *state.State) (*Tasks, error) {
	spec, err := loadTasks()
	if err != nil {
		return nil, fmt.Errorf("read embedded tasks: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("tasks: %w", err)
	}
	iter, err := link.AttachIter(link.IterOptions{Program: coll.Programs[tasksProgTasks]})
	if err != nil {
		coll.Close()
		return nil, fmt.Errorf("attach tasks: %w", err)
	}
	return &Tasks{coll, iter}, nil
}

// List gives the processes of pods as they are now. A process that had no record has
// one then: its Entry is 1.
func (t *Tasks) List() ([]state.RawExecEvent, error) {
	r, err := t.iter.Open()
	if err != nil {
		return nil, fmt.Errorf("look at tasks: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("look at tasks: %w", err)
	}
	const size = int(unsafe.Sizeof(state.RawExecEvent{}))
	if len(b)%size != 0 {
		return nil, fmt.Errorf("look at tasks: %d bytes, want a multiple of %d", len(b), size)
	}
	list := make([]state.RawExecEvent, len(b)/size)
	if len(list) > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&list[0])), len(b)), b)
	}
	return list, nil
}

// Close lets go of the program; records stay.
func (t *Tasks) Close() error {
	err := t.iter.Close()
	t.coll.Close()
	return err
}
