// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/gate"
	"github.com/sluice-io/sluice/bpf/sock"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// pod is a pod attached on this node.
type pod struct {
	rpc.Attachment
	realised bool  // its rules came from the agent
	closed   bool  // a policy that selects it does not fit
	refused  error // why it has none: it did not fit
}

func (p *pod) key() policy.PodKey { return policy.PodKey{Namespace: p.Namespace, Name: p.Name} }

func kernelPod(a *rpc.Attachment) state.Pod {
	return state.Pod{
		Slot: a.Slot, ID: a.PodID, IfIndex: uint32(a.HostIfIndex), Cookie: a.Cookie, Addrs: a.IPs, Open: a.Open,
	}
}

// Adopt takes over the pods that the plugin attached while no agent ran, and puts
// up the gates of those that came when there were no pins. A record whose pod is
// gone is dropped, and so is what a plugin that died half way has left.
func (e *Engine) Adopt() error {
	unlock, err := e.records.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	list, err := e.records.List()
	if err != nil {
		e.log.Error("read records of pods", "error", err)
	}
	for _, a := range list {
		if err := e.adopt(a); err != nil {
			e.log.Error("adopt pod", "pod", a.Namespace+"/"+a.Name, "error", err)
		}
	}
	known := make(map[uint32]bool, len(e.pods))
	for _, p := range e.pods {
		known[p.PodID] = true
	}
	return e.dp.State().Sweep(known)
}

func (e *Engine) adopt(a *rpc.Attachment) error {
	s, p, g := e.dp.State(), kernelPod(a), gate.Cgroup{Path: a.Cgroup, ID: a.CgroupID}
	_, err := os.Stat(s.Dir.Pod(a.Key()))
	pinned := err == nil // else the record is from before a reboot, or before any pins
	if pinned && gate.Check(s, a.Key(), p, g) == nil {
		e.pods[a.Key()] = &pod{Attachment: *a, realised: true}
		return nil
	}
	if pinned {
		if err := gate.Down(s, a.Key(), p); err != nil {
			return err
		}
	}
	if _, err := os.Stat(a.Netns); err != nil {
		return e.records.Delete(a.Key())
	}
	p.Cgroups = cgroupIDs(a)
	if a.Cgroup == "" {
		if err := sock.AttachRoot(s.Dir, e.cfg.CgroupRoot); err != nil {
			return err
		}
	}
	if err := gate.Up(s, a.Key(), &p, g); err != nil {
		return err
	}
	a.Slot, a.PodID = p.Slot, p.ID
	if err := e.records.Put(a); err != nil {
		return err
	}
	e.pods[a.Key()] = &pod{Attachment: *a}
	return nil
}

// cgroupIDs lists the pod's cgroup and those below it.
func cgroupIDs(a *rpc.Attachment) []uint64 {
	if a.Cgroup == "" {
		return nil
	}
	ids, err := datapath.CgroupTree(a.Cgroup)
	if err != nil {
		return []uint64{a.CgroupID}
	}
	return ids
}

// Attach gives a pod that the plugin has just registered its rules.
func (e *Engine) Attach(_ context.Context, a rpc.Attachment) (rpc.AttachReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := &pod{Attachment: a}
	e.pods[a.Key()] = p
	if err := e.realise(); err != nil {
		return rpc.AttachReply{State: unrealised(p)}, fmt.Errorf("realise pod %s: %w", p.key(), e.refuse(p, err))
	}
	if e.pods[a.Key()] == nil {
		return rpc.AttachReply{}, fmt.Errorf("realise pod %s: its slot %d belongs to another", p.key(), a.Slot)
	}
	return rpc.AttachReply{State: "enforced"}, nil
}

// Detach forgets a pod that the plugin has taken down.
func (e *Engine) Detach(_ context.Context, containerID, ifName string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.pods, rpc.AttachmentKey(containerID, ifName))
	return e.realise()
}

// forgetGone drops the pods whose slot the plugin has freed.
func (e *Engine) forgetGone() error {
	for key, p := range e.pods {
		var now state.RawPod
		if err := e.dp.State().Pods.Lookup(p.Slot, &now); err != nil {
			return fmt.Errorf("read slot %d: %w", p.Slot, err)
		}
		if now.Id != p.PodID {
			delete(e.pods, key)
		}
	}
	return nil
}

// live says whether a container belongs to a pod that is attached.
func (e *Engine) live(c datapath.Container) bool {
	for _, p := range e.pods {
		if p.Slot == c.Slot && p.PodID == c.Pod {
			return true
		}
	}
	return false
}

// merged is the cluster with the addresses that CNI gave the pods of this node.
func (e *Engine) merged() (*policy.Cluster, []policy.PodKey) { return e.mergedWith(e.cluster) }

func (e *Engine) mergedWith(from *policy.Cluster) (*policy.Cluster, []policy.PodKey) {
	c := *from
	c.Pods = maps.Clone(c.Pods)
	if c.Pods == nil {
		c.Pods = make(map[policy.PodKey]policy.Pod)
	}
	var local []policy.PodKey
	for _, key := range slices.Sorted(maps.Keys(e.pods)) {
		a := e.pods[key]
		if a.refused != nil {
			continue
		}
		p, known := c.Pods[a.key()]
		if !known {
			p = policy.Pod{PodKey: a.key()}
		}
		if slices.Contains(local, a.key()) { // a second interface of the same pod
			p.IPs = append(slices.Clone(p.IPs), a.IPs...)
		} else {
			p.IPs = a.IPs
			local = append(local, a.key())
		}
		p.HostNetwork = false
		c.Pods[a.key()] = p
	}
	return &c, local
}

// assignments says which rules each slot is to have.
func (e *Engine) assignments(img *compile.Image) map[uint32]state.RawAssignment {
	out := make(map[uint32]state.RawAssignment, len(e.pods))
	for _, p := range e.pods {
		a := state.RawAssignment{Pod: p.PodID, Ruleset: img.Pods[p.key()]}
		switch {
		case p.refused != nil:
			continue // as the plugin left it
		case e.unfit.closes[p.key()]:
			a.Ruleset = state.RuleSetClosed
		}
		out[p.Slot] = a
	}
	return out
}

func unrealised(p *pod) string {
	if p.Open && !p.closed {
		return "open"
	}
	return "closed"
}
