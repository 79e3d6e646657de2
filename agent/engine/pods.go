// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

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
	*rpc.Attachment       // never changed
	realised        bool  // its rules came from the agent
	closed          bool  // a policy that selects it does not fit
	refused         error // why it has none: it did not fit
	// undeferred is why its flows to Services are judged as they were dialled.
	undeferred error
	asked      bool // undeferred is known
}

func (p *pod) key() policy.PodKey { return policy.PodKey{Namespace: p.Namespace, Name: p.Name} }

func kernelPod(a *rpc.Attachment) state.Pod {
	return state.Pod{
		Slot: a.Slot, ID: a.PodID, IfIndex: uint32(a.HostIfIndex), MAC: a.HardwareAddr(), NetnsID: a.NetnsID,
		Cookie: a.Cookie, Addrs: a.IPs, Open: a.Open,
	}
}

// lockTimeout bounds how long Adopt waits for a plugin run.
const lockTimeout = 30 * time.Second

// locked runs f under the lock that plugin runs take.
func (e *Engine) locked(f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	unlock, err := e.records.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

// Adopt takes over the pods that the plugin attached while no agent ran, and puts
// up the gates of those that came when there were no pins. A record whose pod is
// gone is dropped, and so is what a plugin that died half way has left. The lock
// is taken for each pod, so that no plugin run has to wait for all.
func (e *Engine) Adopt() error {
	list, err := e.records.List()
	if err != nil {
		e.log.Error("read records of pods", "error", err)
	}
	for _, a := range list {
		err := e.locked(func() error {
			now, err := e.records.Get(a.Key())
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			return e.adopt(now)
		})
		if err != nil {
			e.log.Error("adopt pod", "pod", a.Namespace+"/"+a.Name, "error", err)
		}
	}
	if err := e.locked(e.sweep); err != nil {
		return err
	}
	e.recount()
	return nil
}

// sweep frees the slots of no record. With a record that cannot be read it frees
// none: the pod may be there.
func (e *Engine) sweep() error {
	list, err := e.records.List()
	if err != nil {
		e.log.Error("slots of no pod are not freed", "error", err)
		return nil
	}
	known := make(map[uint32]bool, len(list))
	for _, a := range list {
		known[a.PodID] = true
	}
	return e.dp.State().Sweep(known)
}

// adopt takes over one pod. One that the kernel knows keeps its identity, rules and
// flows: only what is missing is put back.
func (e *Engine) adopt(a *rpc.Attachment) error {
	s, p, g := e.dp.State(), kernelPod(a), gate.Cgroup{Path: a.Cgroup, ID: a.CgroupID}
	p.Cgroups = cgroupIDs(a)
	live, err := s.Live(p)
	if err != nil {
		return err
	}
	_, gone := os.Stat(a.Netns)
	if live {
		err := e.mend(a, p, g)
		if err == nil || gone == nil {
			e.pods[a.Key()] = &pod{Attachment: a, realised: true}
			return err
		}
	}
	if gone != nil || !bears(a) {
		return e.drop(a, p, live)
	}
	if err := gate.Detach(s.Dir, a.Key()); err != nil {
		return err
	}
	if err := e.watchLate(a); err != nil {
		return err
	}
	if err := gate.Up(s, a.Key(), &p, g); err != nil {
		return err
	}
	a.Slot, a.PodID = p.Slot, p.ID
	if err := e.records.Put(a); err != nil {
		return err
	}
	e.pods[a.Key()] = &pod{Attachment: a}
	return nil
}

// bears says whether the recorded interface is there: after a reboot its index, and
// a path such as /proc/PID/ns/net, may be another pod's.
func bears(a *rpc.Attachment) bool {
	i, err := net.InterfaceByIndex(a.HostIfIndex)
	return err == nil && i.Name == a.HostIf
}

func (e *Engine) mend(a *rpc.Attachment, p state.Pod, g gate.Cgroup) error {
	if err := e.watchLate(a); err != nil {
		return err
	}
	if err := gate.Mend(e.dp.State(), a.Key(), p, g); err != nil {
		return err
	}
	return gate.Check(e.dp.State(), a.Key(), p, g)
}

// watchLate makes sure that sockets are watched in a cgroup that is made later.
func (e *Engine) watchLate(a *rpc.Attachment) error {
	if a.Cgroup != "" {
		return nil
	}
	return sock.AttachRoot(e.dp.State().Dir, e.cfg.CgroupRoot)
}

// drop takes down what is left of a pod that is gone. The slot of a record that is
// not live, from before a reboot say, is another's.
func (e *Engine) drop(a *rpc.Attachment, p state.Pod, live bool) error {
	err := gate.Detach(e.dp.State().Dir, a.Key())
	if live {
		err = errors.Join(err, e.dp.State().Unregister(p))
	}
	if err != nil {
		return err
	}
	return e.records.Delete(a.Key())
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
	p := &pod{Attachment: &a}
	e.pods[a.Key()] = p
	e.nodeAddrs = nil // the first pod of a bridge brings the bridge
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

// forgetGone drops the interfaces that the plugin has taken down.
func (e *Engine) forgetGone() error {
	var gone []uint32
	for key, p := range e.pods {
		up, err := e.dp.State().Up(kernelPod(p.Attachment))
		if err != nil {
			return err
		}
		if !up {
			delete(e.pods, key)
			gone = append(gone, p.PodID)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return e.dp.ForgetActs(func(pod uint32) bool { return slices.Contains(gone, pod) })
}

// podOf is the pod that a container belongs to, if that is attached.
func (e *Engine) podOf(c datapath.Container) (policy.PodKey, bool) {
	for _, p := range e.pods {
		if p.Slot == c.Slot && p.PodID == c.Pod {
			return p.key(), true
		}
	}
	return policy.PodKey{}, false
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

// reach fills in what the pods' frames may bear, and whose flows may be judged
// after DNAT.
func (e *Engine) reach(img *compile.Image, want *datapath.Desired) error {
	want.Sources = make(map[uint32][]netip.Prefix)
	want.Deferring = make(map[uint32]uint32)
	for _, p := range e.pods {
		if s := img.Sources[p.key()]; len(s) > 0 {
			want.Sources[p.PodID] = s
		}
	}
	undeferred := make(map[uint32]bool) // slots with an interface that cannot
	for _, p := range e.pods {
		if !p.asked {
			p.undeferred, p.asked = e.dp.Undeferred(p.HostIfIndex), true
		}
		undeferred[p.Slot] = undeferred[p.Slot] || p.undeferred != nil
		want.Deferring[p.Slot] = p.PodID
	}
	for slot := range undeferred {
		if undeferred[slot] {
			delete(want.Deferring, slot)
		}
	}
	if e.nodeAddrs == nil {
		var err error
		if e.nodeAddrs, err = datapath.NodeAddrs(); err != nil {
			return err
		}
	}
	want.NodeAddrs = e.nodeAddrs
	return nil
}

// deferralChanged says whether some pod's flows can be judged after DNAT that could
// not before, or the other way round, or whether the node has other addresses: both
// are changed by others.
func (e *Engine) deferralChanged() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := false
	if now, err := datapath.NodeAddrs(); err == nil && !slices.Equal(now, e.nodeAddrs) {
		e.nodeAddrs, changed = now, true
	}
	for _, p := range e.pods {
		before := p.undeferred
		p.undeferred, p.asked = e.dp.Undeferred(p.HostIfIndex), true
		changed = changed || (before == nil) != (p.undeferred == nil)
	}
	return changed
}

func unrealised(p *pod) string {
	if p.Open && !p.closed {
		return "open"
	}
	return "closed"
}
