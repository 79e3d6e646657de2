// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// isolation is the policies that isolate the pods of a rule set, by direction, of
// each of the two kinds that do.
type isolation [2]struct{ network, workload []string }

// isolations tells for each rule set of the image who isolates its pods.
func isolations(c *policy.Cluster, img *compile.Image) map[uint32]*isolation {
	pods := make(map[uint32]policy.PodKey) // one of each
	for pod, ruleset := range img.Pods {
		pods[ruleset] = pod
	}
	network, workload := isolating(c, img, pods)
	out := make(map[uint32]*isolation, len(pods))
	for ruleset, pod := range pods {
		by := new(isolation)
		for _, ref := range img.Selected[pod] {
			for d := range by {
				if network[ref][d] {
					by[d].network = append(by[d].network, ref.String())
				}
				if workload[ref][d] {
					by[d].workload = append(by[d].workload, ref.String())
				}
			}
		}
		out[ruleset] = by
	}
	return out
}

// isolating tells what the policies isolate that select some pods: most of a cluster's
// select none here.
func isolating(c *policy.Cluster, img *compile.Image, pods map[uint32]policy.PodKey) (network, workload map[policy.Ref][2]bool) {
	network, workload = make(map[policy.Ref][2]bool), make(map[policy.Ref][2]bool)
	selects := make(map[policy.Ref]bool)
	for _, pod := range pods {
		for _, ref := range img.Selected[pod] {
			selects[ref] = true
		}
	}
	for _, p := range c.NetworkPolicies {
		if ref := p.Ref(); selects[ref] {
			network[ref] = p.Isolates
		}
	}
	for _, p := range c.WorkloadPolicies {
		if ref := p.Ref(); selects[ref] && p.Mode == policy.Enforce {
			workload[ref] = p.Isolates
		}
	}
	return network, workload
}

// deniedBy lists the policies whose default denies a flow; v.mu is held.
func (v *view) deniedBy(ev *state.RawFlowEvent) []string {
	by := v.isolating[ev.Ruleset]
	if by == nil {
		return nil
	}
	if ev.Layer == state.LayerWorkload {
		return by[ev.Direction&1].workload
	}
	return by[ev.Direction&1].network
}

// cause fills in who decided a flow, and who is behind its peer; v.mu is held.
func (v *view) cause(f *rpc.Flow, ev *state.RawFlowEvent) {
	switch ev.Reason {
	case state.ReasonPolicy:
		f.Rule = v.rules[ev.Rule]
	case state.ReasonDefaultDeny:
		f.DeniedBy = v.deniedBy(ev)
	}
	ip := ev.Behind.Addr()
	if ip.IsUnspecified() || ip == ev.Key.Peer.Addr() {
		return
	}
	behind := v.endpoint(ip, ev.BehindPort)
	if policy.Direction(ev.Direction) == policy.Egress {
		f.Backend = &behind
	} else {
		f.Client = &behind
	}
}

// undeferred tells which pods' Services are judged as they were dialled, and why.
func undeferred(pods map[uint32]*pod) []string {
	why := make(map[string][]string)
	for _, p := range pods {
		if p.undeferred != nil && !errors.Is(p.undeferred, datapath.ErrNoInterface) {
			why[p.undeferred.Error()] = append(why[p.undeferred.Error()], p.key().String())
		}
	}
	var out []string
	for reason, list := range why {
		slices.Sort(list)
		out = append(out, fmt.Sprintf("Services are judged as they were dialled for %s: %s", strings.Join(list, ", "), reason))
	}
	slices.Sort(out)
	return out
}
