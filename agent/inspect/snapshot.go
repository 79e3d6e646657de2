// SPDX-License-Identifier: Apache-2.0

// Package inspect says what policies mean for the pods of a cluster: which rule
// decides on a connection, what a pod may do, and what in a policy has no effect.
// It brings together what package eval needs: objects from manifests or from an
// agent, the addresses that CNI gave to pods, and what is behind a Service.
package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/agent/store"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/eval"
	"github.com/sluice-io/sluice/policy/manifest"
)

// Snapshot is the objects that answers are drawn from, and, if they come from an
// agent, what it says of its node.
type Snapshot struct {
	cluster  *policy.Cluster
	attached map[policy.PodKey]string // the state of the agent's own pods
	unknown  map[policy.PodKey]bool   // those of them that no object describes
	degraded map[policy.Ref]string    // why policies are not in force as written
	off      string                   // that enforcement is, and for how long; "" if it is on

	services map[policy.ObjectKey]*manifest.Object
	slices   map[policy.ObjectKey]*manifest.Object
}

// New takes the objects of manifests; each is there once.
func New(objects []*manifest.Object) *Snapshot {
	s := &Snapshot{
		cluster:  store.Cluster(slices.Values(objects)),
		attached: make(map[policy.PodKey]string),
		unknown:  make(map[policy.PodKey]bool),
		degraded: make(map[policy.Ref]string),
		services: make(map[policy.ObjectKey]*manifest.Object),
		slices:   make(map[policy.ObjectKey]*manifest.Object),
	}
	for _, o := range objects {
		switch key := (policy.ObjectKey{Namespace: o.Ref.Namespace, Name: o.Ref.Name}); o.Ref.Kind {
		case policy.KindService:
			s.services[key] = o
		case policy.KindEndpointSlice:
			s.slices[key] = o
		}
	}
	return s
}

var kinds = [...]policy.Kind{
	policy.KindNamespace, policy.KindPod, policy.KindNode, policy.KindService, policy.KindEndpointSlice,
	policy.KindNetworkPolicy, policy.KindClusterNetworkPolicy, policy.KindWorkloadPolicy, policy.KindClusterWorkloadPolicy,
}

// Ask takes the objects and pods of an agent.
func Ask(ctx context.Context, agent *rpc.Client) (*Snapshot, error) {
	var objects []*manifest.Object
	for _, kind := range kinds {
		list, err := agent.List(ctx, string(kind))
		if err != nil {
			return nil, err
		}
		for _, data := range list {
			o, err := manifest.Parse(data)
			if err != nil {
				return nil, fmt.Errorf("read the agent's %s: %w", kind, err)
			}
			objects = append(objects, o)
		}
	}
	pods, err := agent.Pods(ctx)
	if err != nil {
		return nil, err
	}
	status, err := agent.Status(ctx)
	if err != nil {
		return nil, err
	}
	s := New(objects)
	s.attach(pods, status.Node)
	s.heed(&status)
	return s, nil
}

// attach gives the pods of a node their addresses, as the agent does: those of CNI
// are the pod's, whatever its object says.
func (s *Snapshot) attach(pods []rpc.Pod, node string) {
	for _, p := range pods {
		key := policy.PodKey{Namespace: p.Namespace, Name: p.Name}
		pod, known := s.cluster.Pods[key]
		if _, second := s.attached[key]; second { // an interface more
			pod.IPs = append(slices.Clone(pod.IPs), p.IPs...)
		} else {
			pod.IPs = p.IPs
			s.unknown[key] = !known
		}
		pod.PodKey, pod.HostNetwork, pod.Node = key, false, cmp.Or(pod.Node, node)
		s.cluster.Pods[key] = pod
		if s.attached[key] == "" || p.State != "enforced" {
			s.attached[key] = p.State
		}
	}
}

// heed takes over what an agent says of its node.
func (s *Snapshot) heed(status *rpc.Status) {
	if status.Enforcement != "on" {
		s.off = status.Enforcement
	}
	for _, p := range status.Policies {
		if p.State == "degraded" {
			s.degraded[policy.Ref{Kind: policy.Kind(p.Kind), Namespace: p.Namespace, Name: p.Name}] = p.Reason
		}
	}
}

// nodeNotes say why a pod may be judged other than by its policies.
func (s *Snapshot) nodeNotes(pod policy.Pod) []string {
	var out []string
	if s.off != "" {
		out = append(out, "enforcement on this node is "+s.off+": nothing is denied meanwhile")
	}
	if state := s.attached[pod.PodKey]; state != "" && state != "enforced" {
		out = append(out, fmt.Sprintf("pod %s is %s on this node, whatever its policies say: see \"sluice status\"", pod, state))
	}
	if s.unknown[pod.PodKey] {
		out = append(out, fmt.Sprintf("no object describes pod %s: it has no labels", pod))
	}
	if pod.HostNetwork {
		out = append(out, fmt.Sprintf("pod %s is of the host's network: it is judged as its node, and no policy selects it", pod))
	}
	return out
}

// Explain says what a pod may do.
func (s *Snapshot) Explain(key policy.PodKey) (eval.Profile, error) {
	pod, ok := s.cluster.Pods[key]
	if !ok {
		return eval.Profile{}, unknownPod(key)
	}
	p := eval.Explain(s.cluster, key)
	p.Note = strings.Join(s.nodeNotes(pod), "; ")
	return p, nil
}

// Lint finds what has no effect or is hardly meant in the policies.
func (s *Snapshot) Lint() []eval.Finding { return eval.Lint(s.cluster) }

func unknownPod(key policy.PodKey) error {
	return fmt.Errorf("pod %s is not known: write NAMESPACE/NAME of a Pod that is applied or attached here", key)
}
