// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
)

// describe reads all that an exec tells of a process, but where it comes from.
func (n *names) describe(ev *state.RawExecEvent) rpc.Process {
	p := n.standing(&ev.Process)
	p.Path, p.Interpreter, p.Cwd = text(ev.Path.Path[:]), text(ev.Interpreter.Path[:]), text(ev.Cwd.Path[:])
	p.Args = splitArgs(ev.Args[:], ev.ArgsLen)
	if n.hide != nil && p.Args != nil {
		p.Args = n.hide(p.Args)
	}
	// A memfd has no path that could be cut.
	p.Truncated = ev.ArgsLen > state.ArgsLen || ev.Process.Flags&state.ProcCut != 0 && strings.HasPrefix(p.Path, "/")
	p.Binary = &rpc.Binary{Inode: ev.Ino, Device: fmt.Sprintf("%d:%d", ev.Dev>>20, ev.Dev&(1<<20-1)), Mount: ev.Mount}
	return p
}

// standing reads what a process may do, and where it is.
func (n *names) standing(ev *state.RawProcessEvent) rpc.Process {
	s := &ev.Standing
	return rpc.Process{
		PID: ev.Pid, ParentPID: ev.ParentPid, UID: s.Euid, ExecID: execID{ev.ExecId, ev.Pid}.String(),
		Container: n.container(ev.Container),
		Credentials: &rpc.Credentials{
			UID: s.Uid, EUID: s.Euid, GID: s.Gid, EGID: s.Egid,
			Permitted: capabilities(s.Permitted), Effective: capabilities(s.Effective),
		},
		Namespaces: &rpc.Namespaces{
			Mnt: s.MntNs, Net: s.NetNs, PID: s.PidNs, User: s.UserNs, Cgroup: s.CgroupNs, UTS: s.UtsNs, IPC: s.IpcNs,
		},
	}
}

// capabilities are their names, [ALL] for all that there are.
func capabilities(set uint64) []string {
	const all = 1<<policy.NumCapabilities - 1
	switch {
	case set&all == all:
		return []string{"ALL"}
	case set == 0:
		return []string{} // in JSON too
	}
	return policy.CapabilitySet(set).Names()
}

// Processes are those of a pod, or of all pods, as they are now.
func (e *Engine) Processes(of rpc.PodRef) ([]rpc.Running, error) {
	e.dp.Sync() // the arguments of what has started just now
	list, err := e.dp.Processes()
	if err != nil {
		return nil, err
	}
	out := []rpc.Running{}
	for i := range list {
		ev := &list[i]
		name := e.view.pod(ev.Process.Pod)
		pod := rpc.PodRef{Namespace: name.key.Namespace, Name: name.key.Name}
		if of == pod || of == (rpc.PodRef{}) {
			out = append(out, rpc.Running{Pod: pod, StartTime: e.wall.at(ev.Process.ExecId), Process: e.names.running(ev)})
		}
	}
	return out, nil
}

// running reads what is seen of a process that runs. Its arguments are those that its
// exec told: it may have written over them since.
func (n *names) running(ev *state.RawExecEvent) rpc.Process {
	p := n.describe(ev)
	id := execID{ev.Process.ExecId, ev.Process.Pid}
	p.ParentExecID = n.parent(id, ev.Process.ParentExecId, ev.Process.ParentPid)
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.byID[id]; known.args != nil {
		p.Args, p.Truncated = known.args, known.cut
	}
	return p
}

// recount makes the kernel's process table right again.
func (e *Engine) recount() {
	entered, left, err := e.dp.Recount()
	if err != nil {
		e.log.Error("processes that began before the agent may have no record", "error", err)
	}
	if entered+left > 0 {
		e.log.Info("the process table was not complete", "entered", entered, "left", left)
	}
}

// complete adds what is remembered of an image.
func (n *names) complete(p *rpc.Process, id execID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := n.byID[id]
	if known.Process == nil {
		return
	}
	p.Interpreter, p.Args, p.ParentPID, p.Container = known.Interpreter, known.args, known.ParentPID, known.Container
	p.Truncated = p.Truncated || known.cut
}

// maxLineage bounds the ancestors that an event tells of.
const maxLineage = 8

// lineage are the images that one comes from, the nearest first, as far as they are
// remembered.
func (n *names) lineage(id execID) []rpc.Ancestor {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []rpc.Ancestor
	for len(out) < maxLineage {
		id = n.byID[id].parent
		p := n.byID[id].Process
		if p == nil {
			break
		}
		out = append(out, rpc.Ancestor{Path: p.Path, PID: p.PID, ExecID: p.ExecID})
	}
	return out
}

// cgroups name containers, also those that are gone by now.
type cgroups struct {
	root  string
	mu    sync.Mutex
	names map[uint64]string

	nameless atomic.Uint64 // containers, and processes, that were told without a name
}

// container is what a runtime calls the container with a cgroup: the folder's name, less
// what systemd wants around it. "" if it is not known.
func (c *cgroups) container(id uint64) string {
	if id == 0 {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name, ok := c.names[id]
	if ok {
		return name
	}
	path, err := datapath.CgroupPath(c.root, id)
	if err != nil {
		c.nameless.Add(1)
		return ""
	}
	name = filepath.Base(path)
	if unit, ok := strings.CutSuffix(name, ".scope"); ok {
		name = unit[strings.LastIndexByte(unit, '-')+1:]
	}
	if len(c.names) > maxNames {
		clear(c.names)
	}
	c.names[id] = name
	return name
}
