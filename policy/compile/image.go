// SPDX-License-Identifier: Apache-2.0

// Package compile lowers a policy.Cluster to an Image: flat tables of integers
// that answer a flow by a handful of exact lookups.
//
// A peer address is reduced to a class: the set of all peer entries (selector
// pairs and CIDRs) of all policies that contain it. Addresses with the same set
// share a class, so tables grow with the number of distinct sets, not of pods.
// A pod is reduced to a rule set: pods under the same rules share one. A rule
// set never changes its meaning under its id; a pod's rules are switched by
// giving the pod another id.
package compile

import (
	"net/netip"

	"github.com/sluice-io/sluice/policy"
)

// Layer is a set of rules that a flow must pass; a pod that a layer isolates in
// a direction needs an allow of that layer, whatever the others say.
type Layer uint8

// The layers, in the order in which they are asked.
const (
	NetworkPolicies  Layer = 0
	WorkloadPolicies Layer = 1
)

// Well-known rule sets. Their meaning is the kernel's own; they have no entry in
// Image.RuleSets.
const (
	RuleSetClosed uint32 = 0 // nothing but loopback, ARP, ND and node probes
	RuleSetOpen   uint32 = 1 // isolated by nothing
	// FirstID is the least id that an IDs table hands out.
	FirstID uint32 = 16
)

// Class 0 holds every address that no peer entry contains.
const ClassNone uint32 = 0

// Image is what the kernel is to hold. All ids are stable between compiles (see
// IDs); 0 never names a port set, process set, program or rule.
//
// A flow of a pod under rule set R in direction D is judged so:
//
//	class := Peers[addr], else Prefixes[longest match], else ClassNone
//	for each layer L that RuleSets[R].Isolated[D][L]:
//	    ports := Edges[R, class, D, L], else RuleSets[R].AnyPeer[D][L]
//	    grant := Ports[ports, proto, port], else Ports[ports, proto, 0], else Ports[ports, 0, 0]
//	    rule  := Processes[grant.Processes, program], else grant.Rule
//	    no rule: denied
//
// An Edge's port set includes what AnyPeer grants, and a specific Ports entry
// includes what the wider ones grant, so that the first hit is the answer.
type Image struct {
	Pods     map[policy.PodKey]uint32 // local pods: rule set id, RuleSetOpen if nothing selects them
	RuleSets map[uint32]RuleSet
	Edges    map[Edge]uint32 // port set; edges of retiring rule sets included
	Ports    map[PortKey]Grant
	// Processes answers for a program: an id of Programs.
	Processes map[ProcessKey]uint32 // rule id
	Peers     map[netip.Addr]uint32 // class of each pod address; ClassNone is left out
	Prefixes  map[netip.Prefix]uint32
	Rules     map[uint32]policy.RuleRef
	// Paths gives each process path that a rule names its program id.
	Paths map[string]uint32
	// Programs gives each set of paths of Input.Programs its program id, in the
	// same order; that of a set of one is its id in Paths. A path that no rule
	// names any more is as if it were not in the set; an empty set has id 0.
	Programs []uint32
	// Selected lists, for each local pod, the policies that select it, sorted.
	Selected map[policy.PodKey][]policy.Ref
}

// RuleSet is the head of a rule set. Arrays are indexed by policy.Direction,
// then by Layer.
type RuleSet struct {
	Isolated [2][2]bool
	AnyPeer  [2][2]uint32 // port set of the rules without peers; 0: none
	Errno    [2]bool      // a denial by WorkloadPolicies is EPERM at the socket
	// Audit is the rule set by which a flow that is allowed is judged a second
	// time, as if the Audit policies were enforced; 0: none isolates the pod.
	Audit uint32
	// Privileges is the action on a gain of privilege, PrivilegesRule the rule
	// that asks for it.
	Privileges     Action
	PrivilegesRule uint32
}

// Action on an escalation, in ascending strength.
type Action uint8

// The actions; the values are those of the kernel tables.
const (
	ActionIgnore Action = 0
	ActionAudit  Action = 1
	ActionKill   Action = 2
)

// Edge is one pair of rule set and peer class that rules with peers name.
type Edge struct {
	RuleSet   uint32
	Class     uint32
	Direction policy.Direction
	Layer     Layer
}

// PortKey is an entry of a port set. Port 0 stands for every port, Protocol 0
// (with Port 0) for every protocol.
type PortKey struct {
	Set      uint32
	Protocol policy.Protocol
	Port     uint16
}

// Grant is what a port set allows at a PortKey.
type Grant struct {
	Rule      uint32 // the rule that allows every process; 0: none
	Processes uint32 // the process set that is asked first; 0: none
}

// ProcessKey is an entry of a process set.
type ProcessKey struct {
	Set     uint32
	Program uint32
}

// Input is what an Image is made from.
type Input struct {
	Cluster *policy.Cluster
	Local   []policy.PodKey // the pods that this node judges
	// Programs are sets of process paths that turned out to be one file in some
	// container (applets of a multi-call binary, hard links).
	Programs [][]string
}
