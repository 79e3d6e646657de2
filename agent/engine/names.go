// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
)

// maxNames bounds the processes that are remembered after their exit.
const maxNames = 16384

// names remembers processes by exec id, since flows outlive them.
type names struct {
	dp    *datapath.Datapath
	mu    sync.Mutex
	byID  map[execID]*rpc.Process // without arguments; shared, so never changed
	order []execID                // ring of the ids in byID, oldest at next
	next  int
}

// execID is unique on a node: two execs of one process never share a clock tick.
type execID struct {
	time uint64
	pid  uint32
}

func (id execID) String() string {
	if id.time == 0 {
		return ""
	}
	return fmt.Sprintf("%x-%d", id.time, id.pid)
}

func newNames(dp *datapath.Datapath) *names {
	return &names{dp: dp, byID: make(map[execID]*rpc.Process), order: make([]execID, maxNames)}
}

func (n *names) put(id execID, p rpc.Process) *rpc.Process {
	p.Args = nil
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.byID[id]; !ok {
		delete(n.byID, n.order[n.next])
		n.order[n.next] = id
		n.next = (n.next + 1) % maxNames
	}
	n.byID[id] = &p
	return &p
}

// of gives the process behind a stamp, nil if there is none.
func (n *names) of(s state.RawStamp) *rpc.Process {
	if s.Pid == 0 {
		return nil
	}
	id := execID{s.ExecId, s.Pid}
	n.mu.Lock()
	known := n.byID[id]
	n.mu.Unlock()
	if known != nil && known.UID == s.Uid {
		return known
	}
	p := rpc.Process{PID: s.Pid, ExecID: id.String()}
	if known != nil {
		p = *known
	} else if p.Path = n.record(id); p.Path == "" {
		p.UID = s.Uid
		return &p
	}
	p.UID = s.Uid
	return n.put(id, p)
}

// exec reads an exec, and remembers it.
func (n *names) exec(ev *state.RawExecEvent) rpc.Process {
	id := execID{ev.Process.ExecId, ev.Process.Pid}
	p := rpc.Process{
		Path: text(ev.Path[:]), Args: args(ev.Args[:], ev.ArgsLen), Truncated: ev.ArgsLen > state.ArgsLen,
		PID: ev.Process.Pid, UID: ev.Process.Uid,
		ExecID:       id.String(),
		ParentExecID: execID{ev.Process.ParentExecId, ev.Process.Pid}.String(), // what it was before
	}
	n.put(id, p)
	return p
}

// process reads a fork or an exit. A fork is remembered under its own id, with the
// path of its parent.
func (n *names) process(ev *state.RawProcessEvent) rpc.Process {
	id := execID{ev.ExecId, ev.Pid}
	p := rpc.Process{PID: ev.Pid, UID: ev.Uid, ExecID: id.String()}
	if ev.Type == state.ProcessFork {
		parent := execID{ev.ParentExecId, ev.ParentPid}
		p.Path, p.ParentExecID = n.path(parent), parent.String()
		n.put(id, p)
		return p
	}
	p.Path, p.ParentExecID = n.path(id), n.parent(id, ev.ParentExecId, ev.ParentPid)
	return p
}

// parent is the exec id that a process image came from. It bears the parent's pid
// after a fork and the process's own after an exec; the kernel's records tell only
// its time.
func (n *names) parent(id execID, time uint64, parentPID uint32) string {
	n.mu.Lock()
	p, known := n.byID[id]
	_, forked := n.byID[execID{time, parentPID}]
	n.mu.Unlock()
	if known && p.ParentExecID != "" {
		return p.ParentExecID
	}
	if !forked {
		r, ok := n.dp.Process(parentPID)
		forked = ok && r.ExecId == time
	}
	if forked {
		return execID{time, parentPID}.String()
	}
	return execID{time, id.pid}.String()
}

// knows says whether the exec or fork that made a process image has been read.
func (n *names) knows(id execID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.byID[id]
	return ok
}

// path is the program of a process image, "" if it is not known.
func (n *names) path(id execID) string {
	n.mu.Lock()
	p, ok := n.byID[id]
	n.mu.Unlock()
	if ok {
		return p.Path
	}
	return n.record(id)
}

// record reads the path from the kernel's record.
func (n *names) record(id execID) string {
	r, ok := n.dp.Process(id.pid)
	if !ok || r.ExecId != id.time {
		return ""
	}
	return text(r.Path.Path[:])
}

// text reads a C string.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func args(b []byte, n uint32) []string {
	if int(n) < len(b) {
		b = b[:n]
	}
	b = bytes.TrimSuffix(b, []byte{0})
	if len(b) == 0 {
		return nil
	}
	var out []string
	for _, a := range bytes.Split(b, []byte{0}) {
		out = append(out, strings.ToValidUTF8(string(a), "\uFFFD"))
	}
	return out
}
