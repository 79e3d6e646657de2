// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"

	"github.com/sluice-io/sluice/policy"
)

// question is a flow with what the cluster says of its two ends.
type question struct {
	policy.Flow
	c   *policy.Cluster
	pod policy.Pod   // the judged one
	at  []policy.Pod // those that have the peer's address, by name; none of the host's network
}

func newQuestion(c *policy.Cluster, f policy.Flow) question {
	return question{Flow: f, c: c, pod: podOf(c, f.Pod), at: podsAt(c, f.Peer)}
}

// podOf is the pod by that name, or one of which only the name is known.
func podOf(c *policy.Cluster, key policy.PodKey) policy.Pod {
	if pod, ok := c.Pods[key]; ok {
		return pod
	}
	return policy.Pod{PodKey: key}
}

// part is what of a rule a flow does not match, the first of them.
type part uint8

const (
	nothing part = iota // it matches
	unknownPart
	peerPart
	portPart
	processPart
)

// misses says which part of a rule of a policy in namespace own the flow does not
// match: its peer, its port and its process must match, each of them.
func (q *question) misses(own string, r policy.Rule) part {
	switch {
	case r.Unknown && r.Action == policy.Accept:
		return unknownPart // "treat the rule as matching no traffic"
	case r.Unknown:
		return nothing // "treat the rule as a 'Deny all' rule"
	case !q.matchesPeers(own, r.Peers):
		return peerPart
	case !q.matchesPorts(own, r):
		return portPart
	case !q.matchesProcesses(r.Processes):
		return processPart
	}
	return nothing
}

// matchesPeers: "Items in this list are combined using a logical OR operation. If
// this field is empty or missing, this rule matches all sources (destinations)."
func (q *question) matchesPeers(own string, peers []policy.Peer) bool {
	return len(peers) == 0 ||
		slices.ContainsFunc(peers, func(p policy.Peer) bool { return q.matchesPeer(own, p) })
}

// matchesPorts: "Each item in this list is combined using a logical OR. If this
// field is empty or missing, this rule matches all ports (traffic not restricted
// by port)." With ports, only their protocols match (so no ICMP).
func (q *question) matchesPorts(own string, r policy.Rule) bool {
	return len(r.Ports) == 0 ||
		slices.ContainsFunc(r.Ports, func(p policy.Port) bool { return q.matchesPort(own, r.Peers, p) })
}

// matchesPort: "port represents the port on the given protocol. This can either be
// a numerical or named port on a pod. If this field is not provided, this matches
// all port names and numbers." "endPort indicates that the range of ports from
// port to endPort if set, inclusive, should be allowed."
func (q *question) matchesPort(own string, peers []policy.Peer, p policy.Port) bool {
	if p.Name != "" {
		return slices.ContainsFunc(q.destinations(own, peers), func(pod policy.Pod) bool {
			return slices.Contains(namedPorts(pod, p), policy.ContainerPort{Name: p.Name, Protocol: q.Protocol, Number: q.Port})
		})
	}
	if p.Protocol != policy.AnyProtocol && p.Protocol != q.Protocol {
		return false
	}
	switch {
	case p.Number == 0:
		return true
	case p.End == 0:
		return q.Port == p.Number
	}
	return p.Number <= q.Port && q.Port <= p.End
}

// namedPorts are a pod's container ports of a rule's port name and protocol.
func namedPorts(pod policy.Pod, p policy.Port) []policy.ContainerPort {
	var out []policy.ContainerPort
	for _, cp := range pod.Ports {
		if cp.Name == p.Name && (p.Protocol == policy.AnyProtocol || p.Protocol == cp.Protocol) {
			out = append(out, cp)
		}
	}
	return out
}

// destinations are the pods whose port names a rule means: on ingress the judged
// pod; on egress those that have the peer's address and that a peer of the rule
// selects, by its labels or a Service's selector. Any other peer, an address of an
// EndpointSlice too, means whatever pod is there.
func (q *question) destinations(own string, peers []policy.Peer) []policy.Pod {
	if q.Direction == policy.Ingress {
		return []policy.Pod{q.pod}
	}
	if len(peers) == 0 {
		return q.at
	}
	var out []policy.Pod
	for _, pod := range q.at {
		if slices.ContainsFunc(peers, func(p policy.Peer) bool {
			switch {
			case isPodSelector(p):
				return selectsPod(q.c, own, p, pod)
			case p.Service != nil:
				return inSlices(q.c, *p.Service, q.Peer) || isBackend(q.c, *p.Service, pod)
			}
			return q.matchesPeer(own, p)
		}) {
			out = append(out, pod)
		}
	}
	return out
}

// matchesProcesses: the flow's program is one of those named, or none is.
func (q *question) matchesProcesses(processes []policy.Process) bool {
	return len(processes) == 0 ||
		anyMatches(processes, policy.Program{Path: q.Process, Image: true})
}
