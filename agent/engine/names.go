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
	byID  map[execID]rpc.Process
	order []execID // ring of the ids in byID, oldest at next
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
	return &names{dp: dp, byID: make(map[execID]rpc.Process), order: make([]execID, maxNames)}
}

func (n *names) put(id execID, p rpc.Process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.byID[id]; !ok {
		delete(n.byID, n.order[n.next])
		n.order[n.next] = id
		n.next = (n.next + 1) % maxNames
	}
	n.byID[id] = p
}

// of gives the process behind a stamp, nil if there is none.
func (n *names) of(s state.RawStamp) *rpc.Process {
	if s.Pid == 0 {
		return nil
	}
	id := execID{s.ExecId, s.Pid}
	n.mu.Lock()
	p, ok := n.byID[id]
	n.mu.Unlock()
	if ok {
		p.UID = s.Uid
		p.Args = nil
		return &p
	}
	p = rpc.Process{PID: s.Pid, UID: s.Uid, ExecID: id.String()}
	if r, ok := n.dp.Process(s.Pid); ok && r.ExecId == s.ExecId && r.PathAt < state.PathLen {
		p.Path = text(r.Walk[r.PathAt:])
		n.put(id, p)
	}
	return &p
}

// process reads an exec or fork event, and remembers it.
func (n *names) process(ev *state.RawProcessEvent) rpc.Process {
	id := execID{ev.ExecId, ev.Pid}
	p := rpc.Process{
		Path: text(ev.Path[:]), PID: ev.Pid, UID: ev.Uid,
		ExecID: id.String(), ParentExecID: parentOf(ev.ParentExecId, ev.ParentPid, ev.Pid, ev.Type),
	}
	if ev.Type == state.ProcessExec {
		p.Args = args(ev.Args[:], ev.ArgsLen)
		p.Truncated = ev.ArgsLen > state.ArgsLen
	}
	if ev.Type != state.ProcessExit {
		n.put(id, p)
	}
	return p
}

// parentOf names the process image that an event's came from: at exec the same
// process's former one, else the parent's.
func parentOf(id uint64, parent, pid, kind uint32) string {
	if kind == state.ProcessExec {
		return execID{id, pid}.String()
	}
	return execID{id, parent}.String()
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
