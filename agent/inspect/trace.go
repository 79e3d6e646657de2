// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/eval"
)

// Trace is the answer to a Query.
type Trace struct {
	Verdict string   `json:"verdict"` // the worst of Paths: denied, audit-denied or allowed
	Notes   []string `json:"notes"`   // what to know beside it
	Paths   []Path   `json:"paths"`   // one a backend and address family
}

// Path is one connection, and what each judging pod says to it.
type Path struct {
	Verdict     string       `json:"verdict"` // the worst of Sides
	Protocol    string       `json:"protocol"`
	Source      rpc.Endpoint `json:"source"` // its port is not known
	Destination rpc.Endpoint `json:"destination"`
	Sides       []Side       `json:"sides"`
}

// Side is what one pod's policies say.
type Side struct {
	Pod       rpc.PodRef `json:"pod"`
	Direction string     `json:"direction"` // as that pod sees it
	eval.Explanation
}

// Trace asks the policies of the source pod for egress and those of the destination
// pod for ingress, for each backend and address family that both ends have.
func (s *Snapshot) Trace(q Query) (*Trace, error) {
	from, err := s.find(q.From)
	if err != nil {
		return nil, err
	}
	targets, note, err := s.targets(q.To, q.Port)
	if err != nil {
		return nil, err
	}
	out := &Trace{Notes: []string{}}
	if note != "" {
		out.Notes = append(out.Notes, note)
	}
	for _, to := range targets {
		list, err := s.paths(q, from, to)
		if err != nil {
			return nil, err
		}
		out.Paths = append(out.Paths, list...)
	}
	if len(out.Paths) == 0 {
		return nil, fmt.Errorf("%s and its destination have no address family in common", from)
	}
	for _, p := range out.Paths {
		out.Verdict = worst(out.Verdict, p.Verdict)
	}
	if slices.ContainsFunc(out.Paths, func(p Path) bool { return p.Verdict != out.Verdict }) {
		out.Notes = append(out.Notes, "the verdicts differ by backend or address family: together they count as "+out.Verdict)
	}
	out.Notes = append(out.Notes, s.notes(out.Paths, from, targets)...)
	return out, nil
}

// worst of two verdicts; "" is none.
func worst(a, b string) string {
	for _, v := range []string{"denied", "audit-denied", "allowed"} {
		if a == v || b == v {
			return v
		}
	}
	return ""
}

// paths are those from one place to another, one an address family.
func (s *Snapshot) paths(q Query, from place, to target) ([]Path, error) {
	if !from.judged() && !to.judged() {
		return nil, fmt.Errorf("neither %s nor %s is a pod with an address of its own: nothing is judged", from, to)
	}
	if len(to.addrs) == 0 {
		return nil, noAddress(to.place)
	}
	sources := addressesOf(from.addrs)
	if len(sources) == 0 {
		if to.judged() {
			return nil, noAddress(from)
		}
		sources = []netip.Addr{{}} // its egress alone is judged, for which it does not matter
	}
	var out []Path
	for _, dst := range addressesOf(to.addrs) {
		for _, src := range sources {
			if !src.IsValid() || src.Is4() == dst.Is4() {
				out = append(out, s.path(q, from, src, to, dst))
			}
		}
	}
	return out, nil
}

func noAddress(p place) error {
	return fmt.Errorf("%s has no address: write status.podIPs in its manifest, or name an address instead", p)
}

func (s *Snapshot) path(q Query, from place, src netip.Addr, to target, dst netip.Addr) Path {
	flow := policy.Flow{Protocol: to.port.Protocol, Port: to.port.Number}
	if flow.Protocol == policy.ICMP && dst.Is6() {
		flow.Protocol = policy.ICMPv6
	}
	out := Path{
		Protocol:    protocolName(flow.Protocol),
		Source:      rpc.Endpoint{Namespace: from.pod.Namespace, Pod: from.pod.Name, IP: src},
		Destination: rpc.Endpoint{Namespace: to.pod.Namespace, Pod: to.pod.Name, IP: dst, Port: flow.Port},
	}
	// "A pod that reaches itself through a Service is judged like any peer."
	cluster := s.cluster
	hairpin := to.nat && from.judged() && from.pod.PodKey == to.pod.PodKey
	if from.judged() {
		flow.Pod, flow.Direction, flow.Peer, flow.Process = from.pod.PodKey, policy.Egress, dst, q.Process
		if hairpin {
			cluster, flow.Pod = twin(cluster, from.pod)
		}
		out.add(from, flow.Direction, eval.Trace(cluster, flow))
	}
	if to.judged() {
		flow.Pod, flow.Direction, flow.Peer, flow.Process = to.pod.PodKey, policy.Ingress, src, q.Listener
		if hairpin {
			cluster, flow.Pod = twin(cluster, to.pod)
		}
		answer := eval.Trace(cluster, flow)
		if s.madeBy(from, src, to.pod) {
			answer = ofItsNode()
		}
		out.add(to.place, flow.Direction, answer)
	}
	return out
}

func (p *Path) add(judge place, d policy.Direction, answer eval.Explanation) {
	p.Verdict = worst(p.Verdict, answer.Answer)
	p.Sides = append(p.Sides, Side{
		Pod: rpc.PodRef{Namespace: judge.pod.Namespace, Name: judge.pod.Name}, Direction: d.String(), Explanation: answer,
	})
}

// ofItsNode is the answer to the traffic of the pod's own node.
func ofItsNode() eval.Explanation {
	return eval.Explanation{
		Answer: "allowed", Reason: policy.ReasonNoPolicy, Layers: []eval.LayerTrace{},
		Why: "allowed: what the pod's own node makes is not judged (what it forwards is, by its source)",
	}
}

// twin is the cluster with another pod like this one, which has no address: to it
// the pod is a peer like any other.
func twin(c *policy.Cluster, pod policy.Pod) (*policy.Cluster, policy.PodKey) {
	out := *c
	out.Pods = maps.Clone(c.Pods)
	key := policy.PodKey{Namespace: pod.Namespace, Name: pod.Name + "/twin"} // no pod's name
	pod.IPs = nil
	out.Pods[key] = pod
	return &out, key
}

// notes say why the node may do other than the policies of a trace say.
func (s *Snapshot) notes(paths []Path, from place, targets []target) []string {
	out := s.nodeNotes(from.pod)
	for _, t := range targets {
		for _, note := range s.nodeNotes(t.pod) {
			if !slices.Contains(out, note) {
				out = append(out, note)
			}
		}
	}
	seen := make(map[eval.PolicyName]bool)
	for _, path := range paths {
		for _, side := range path.Sides {
			for _, layer := range side.Layers {
				for _, p := range layer.Policies {
					if reason, ok := s.degraded[policy.Ref(p.PolicyName)]; ok && !seen[p.PolicyName] {
						seen[p.PolicyName] = true
						out = append(out, fmt.Sprintf("%s is not in force as written: %s", p.PolicyName, reason))
					}
				}
			}
		}
	}
	return out
}
