// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"net/netip"
	"sync"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// snapshot is what is in force, for readers. It is not changed once published.
type snapshot struct {
	revision uint64
	cluster  *policy.Cluster
	pods     map[uint32]*pod // by pod id
	addrs    map[netip.Addr]policy.PodKey
	selected map[policy.PodKey][]policy.Ref
	unfit    map[policy.Ref]error // policies asked for and not in force
	effects  *effects
}

// view holds the latest snapshot and what must outlive it: the names of rules and
// pods that flows and events still speak of.
type view struct {
	mu       sync.RWMutex
	now      snapshot
	revision uint64
	rules    map[uint32]*rpc.Rule // shared with what bears them
	former   map[uint32]podName
	// isolating tells, by rule set, whose default it is that denies.
	isolating map[uint32]*isolation
	failure   error // of the last round, nil if all is in force
}

type podName struct {
	key policy.PodKey
	ips []netip.Addr
}

func (v *view) load() snapshot {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.now
}

// next counts a change that is in force.
func (v *view) next() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.revision++
	v.now.revision = v.revision
	return v.revision
}

// fail notes how the last round ended.
func (v *view) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failure = err
}

func (v *view) rule(id uint32) *rpc.Rule {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.rules[id]
}

func (v *view) pod(id uint32) podName {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.podName(id)
}

// podName is the name of a pod that is or was here; v.mu is held.
func (v *view) podName(id uint32) podName {
	if p, ok := v.now.pods[id]; ok {
		return podName{p.key(), p.IPs}
	}
	return v.former[id]
}

// endpoint names an address; v.mu is held.
func (v *view) endpoint(ip netip.Addr, port uint16) rpc.Endpoint {
	key := v.now.addrs[ip]
	return rpc.Endpoint{Namespace: key.Namespace, Pod: key.Name, IP: ip, Port: state.Port(port)}
}

// publish makes what was just applied visible.
func (e *Engine) publish(c *policy.Cluster, img *compile.Image) {
	s := snapshot{
		cluster:  c,
		pods:     make(map[uint32]*pod, len(e.pods)),
		addrs:    e.merging.addrs,
		selected: img.Selected,
		unfit:    maps.Clone(e.unfit.policies),
		effects:  new(effects),
	}
	for _, p := range e.pods {
		copied := *p
		s.pods[p.PodID] = &copied
	}
	v := &e.view
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.rules == nil {
		v.rules = make(map[uint32]*rpc.Rule)
		v.former = make(map[uint32]podName)
		v.isolating = make(map[uint32]*isolation)
	}
	for id, p := range v.now.pods {
		if _, still := s.pods[id]; !still {
			v.former[id] = podName{p.key(), p.IPs}
		}
	}
	trim(v.former)
	trim(v.rules)
	trim(v.isolating)
	for id, r := range img.Rules {
		if v.rules[id] == nil { // an id keeps its rule
			p := r.Policy
			v.rules[id] = &rpc.Rule{Kind: string(p.Kind), Namespace: p.Namespace, Name: p.Name, Index: r.Index}
		}
	}
	maps.Copy(v.isolating, isolations(c, img))
	s.revision = v.revision
	v.now = s
}

// maxFormer bounds the names kept of what is gone.
const maxFormer = 65536

// trim forgets everything but the present once too much has gathered; names of the
// present are added again right after.
func trim[V any](m map[uint32]V) {
	if len(m) > maxFormer {
		clear(m)
	}
}
