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

// maxNames bounds the processes, and the containers, that are remembered after their end.
// What is told without its name since it is forgotten is counted.
const maxNames = 16384

// names remembers processes by exec id, since flows outlive them.
type names struct {
	dp   *datapath.Datapath
	hide func(args []string) []string // what looks like a secret
	cgroups
	mu    sync.Mutex
	byID  map[execID]image
	order []execID // ring of the ids in byID, oldest at next
	next  int

	ends    [256]execID // ring of those that ended last, oldest at nextEnd
	nextEnd int
}

// image is a process image that is remembered.
type image struct {
	*rpc.Process        // names alone; shared, so never changed
	parent       execID // that it comes from
	args         []string
	cut          bool // args were longer
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

func newNames(dp *datapath.Datapath, cgroupRoot string, hide func([]string) []string) *names {
	return &names{
		dp: dp, hide: hide, cgroups: cgroups{root: cgroupRoot, names: make(map[uint64]string)},
		byID: make(map[execID]image), order: make([]execID, maxNames),
	}
}

func (n *names) put(id execID, p rpc.Process, parent execID) *rpc.Process {
	kept := image{parent: parent, args: p.Args, cut: p.Truncated}
	p.Args, p.Cwd, p.Binary, p.Credentials, p.Namespaces = nil, "", nil, nil, nil
	kept.Process = &p
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.byID[id]; !ok {
		delete(n.byID, n.order[n.next])
		n.order[n.next] = id
		n.next = (n.next + 1) % maxNames
	}
	n.byID[id] = kept
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
	if known.Process != nil && known.UID == s.Uid {
		return known.Process
	}
	p := rpc.Process{PID: s.Pid, ExecID: id.String()}
	if known.Process != nil {
		p = *known.Process
	} else if p.Path = n.record(id); p.Path == "" {
		p.UID = s.Uid
		return &p
	}
	p.UID = s.Uid
	return n.put(id, p, known.parent)
}

// exec reads an exec, and remembers it.
func (n *names) exec(ev *state.RawExecEvent) rpc.Process {
	was := execID{ev.Process.ParentExecId, ev.Process.Pid}
	p := n.describe(ev)
	p.ParentExecID = was.String()
	n.put(execID{ev.Process.ExecId, ev.Process.Pid}, p, was)
	return p
}

// process reads a fork or an exit. A fork is remembered under its own id, with the
// path of its parent.
func (n *names) process(ev *state.RawProcessEvent) rpc.Process {
	id := execID{ev.ExecId, ev.Pid}
	p := n.standing(ev)
	if ev.Type == state.ProcessFork {
		parent := execID{ev.ParentExecId, ev.ParentPid}
		p.Path, p.ParentExecID = n.path(parent), parent.String()
		n.put(id, p, parent)
		p.Credentials, p.Namespaces = nil, nil // as the parent's
		return p
	}
	p.Path, p.ParentExecID = n.path(id), n.parent(id, ev.ParentExecId, ev.ParentPid)
	n.ended(id)
	return p
}

// ended lets go of what is told of processes that run, when as many others have ended:
// of one that was killed there is more to tell.
func (n *names) ended(id execID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	gone := &n.ends[n.nextEnd]
	if known, ok := n.byID[*gone]; ok {
		known.args = nil
		n.byID[*gone] = known
	}
	*gone = id
	n.nextEnd = (n.nextEnd + 1) % len(n.ends)
}

// parent is the exec id that a process image came from. It bears the parent's pid
// after a fork and the process's own after an exec; the kernel's records tell only
// its time.
func (n *names) parent(id execID, time uint64, parentPID uint32) string {
	n.mu.Lock()
	known := n.byID[id]
	_, forked := n.byID[execID{time, parentPID}]
	n.mu.Unlock()
	if known.Process != nil && known.ParentExecID != "" {
		return known.ParentExecID
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
		n.nameless.Add(1)
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

func splitArgs(b []byte, n uint32) []string {
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
