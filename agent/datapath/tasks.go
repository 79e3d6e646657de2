// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/state"
)

// tasks looks at processes, for one caller at a time.
type tasks struct {
	mu sync.Mutex
	*process.Tasks
	unsettled atomic.Uint64 // recounts that did not see the end
}

func (t *tasks) open(s *state.State) func() error {
	return func() (err error) {
		t.Tasks, err = process.LoadTasks(s)
		return err
	}
}

func (t *tasks) close() error {
	if t.Tasks == nil {
		return nil
	}
	return t.Close()
}

func (t *tasks) list() ([]state.RawExecEvent, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.List()
}

// Processes shows the processes of all pods as they are now. Each has a record then.
func (d *Datapath) Processes() ([]state.RawExecEvent, error) {
	list, err := d.tasks.list()
	if err != nil {
		return nil, err
	}
	// Threads outlive their leader and speak for it, each of them.
	slices.SortFunc(list, func(a, b state.RawExecEvent) int { return int(a.Process.Pid) - int(b.Process.Pid) })
	return slices.CompactFunc(list, func(a, b state.RawExecEvent) bool { return a.Process.Pid == b.Process.Pid }), nil
}

// maxLooks bounds how often Recount looks; who forks faster keeps children without a
// record, which match no rule.
const maxLooks = 8

// errUnsettled says that processes without a record came until the end.
var errUnsettled = errors.New("processes begin faster than they are found")

// Recount makes the process table right again: processes that began while nobody
// watched, or for which it had no room, enter it, and those that are gone leave it.
func (d *Datapath) Recount() (entered, left int, err error) {
	before, err := d.records()
	if err != nil {
		return 0, 0, err
	}
	list, entered, settled := d.look(maxLooks)
	if settled != nil && !errors.Is(settled, errUnsettled) {
		return entered, 0, settled
	}
	for i := range list {
		delete(before, list[i].Process.Pid)
	}
	for pid, execID := range before {
		// Whoever is just about to end is still there, and tells of it by the record.
		if !errors.Is(unix.Kill(int(pid), 0), unix.ESRCH) {
			continue
		}
		if r, ok := d.Process(pid); !ok || r.ExecId != execID {
			continue // another has the number
		}
		if err := d.state.Procs.Delete(pid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return entered, left, fmt.Errorf("remove record of process %d: %w", pid, err)
		}
		left++
	}
	return entered, left, settled
}

// look gives the processes of pods once all of them have records, or errUnsettled with
// those that it has seen last.
func (d *Datapath) look(most int) (list []state.RawExecEvent, entered int, err error) {
	for range most { // a process without a record begets others
		if list, err = d.Processes(); err != nil {
			return nil, entered, err
		}
		found := 0
		for i := range list {
			found += int(list[i].Entry)
		}
		if entered += found; found == 0 {
			return list, entered, nil
		}
	}
	d.tasks.unsettled.Add(1)
	return list, entered, errUnsettled
}

// records are the exec ids in the table, by process id.
func (d *Datapath) records() (map[uint32]uint64, error) {
	var pid uint32
	var r state.RawProc
	out := make(map[uint32]uint64)
	it := d.state.Procs.Iterate()
	for it.Next(&pid, &r) {
		out[pid] = r.ExecId
	}
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	return out, nil
}
