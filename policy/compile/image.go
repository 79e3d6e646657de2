// SPDX-License-Identifier: Apache-2.0

// Package compile lowers a policy.Cluster to an Image: flat tables of integers
// that answer a flow by a handful of exact lookups.
//
// A peer address is reduced to a class: the set of all peer entries (selector
// pairs, CIDRs, Services and so on) of the rule sets in use that contain it.
// Addresses with the same set share a class, so tables grow with the number of
// distinct sets, not of pods.
// A pod is reduced to a rule set: pods under the same rules share one. A rule
// set never changes its meaning under its id; a pod's rules are switched by
// giving the pod another id. What a rule set says of classes stands in the lists of
// rules that it is made of, one for each direction and layer: rule sets share those.
package compile

import (
	"net/netip"

	"github.com/sluice-io/sluice/policy"
)

// Layer is a set of rules that a flow is asked about. NetworkPolicies and
// WorkloadPolicies isolate: in a direction that they isolate, a flow needs an allow
// of each. Admin and Baseline are ordered: the first rule that matches decides.
type Layer uint8

// The layers, in the order in which they are asked.
const (
	Admin            Layer = 0
	NetworkPolicies  Layer = 1
	WorkloadPolicies Layer = 2
	Baseline         Layer = 3
	Layers                 = 4
)

// Well-known rule sets. Their meaning is the kernel's own; they have no entry in
// Image.RuleSets.
const (
	RuleSetClosed uint32 = 0 // nothing but loopback, ARP, ND and node probes
	RuleSetOpen   uint32 = 1 // isolated by nothing
	// FirstID is the least id that an IDs table hands out.
	FirstID uint32 = 16
)

// ProgramOfImage stands for every program of a container's image; the value is the
// kernel's.
const ProgramOfImage uint32 = 2

// Class 0 holds every address that no peer entry contains.
const ClassNone uint32 = 0

// Image is what the kernel is to hold. All ids are stable between compiles (see
// IDs); 0 never names a list, port set, process set, program or rule.
//
// A flow of a pod under rule set R in direction D is judged so:
//
//	class := Peers[addr], else Prefixes[longest match], else ClassNone
//	grant(L):
//	    set := Edges[RuleSets[R].Lists[D][L], class], else RuleSets[R].AnyPeer[D][L]
//	    for bits from 16 down to 0 that set.Lengths has:
//	        Ports[set.ID, proto, bits, port cut to bits] if it is there (with 16 bits:
//	        only if the filter lets it through)
//	    Ports[set.ID, 0, 0, 0] if it is there (never if bit 31 is set), else the zero Grant
//	if RuleSets[R].Active[D][Admin]: Accept and Deny of grant(Admin) are final
//	for L of NetworkPolicies, WorkloadPolicies that RuleSets[R].Active[D][L]:
//	    rule := Processes[grant(L).Processes, p], else grant(L).Rule, where p is the program,
//	        then, if the set has patterns, Files and Below of what Folders has of it
//	    no rule: denied
//	if none of the two is active but Baseline is: as grant(Baseline) says
//	nothing decided: allowed
//
// An act of a process of such a pod is judged so: what is 0 for an exec, 1 + n for the
// use of capability n; P are the ids that the process's program has: of its file, else of
// its path in Paths, for patterns those of Folders, and ProgramOfImage if it is; Q those of what ran before.
//
//	head := RuleSets[R].Exec[0], or Capabilities[0]
//	head.Action is ActionIgnore, or Permits[head.List, what, p, q] is there for a p
//	of P or 0 and a q of Q or 0: not touched, but judged likewise by [1], and told
//	of as audited with [1].Rule if that does not allow it
//	else: head.Action, by head.Rule
//
// A use of a file is judged likewise by RuleSets[R].Files, which are lists: the head is
// that of the first entry FileRules[list, f, operation] with an f of the file's ids, if
// there is one. Those are the file's own, of Programs or else of its path in Paths, then
// those of the patterns for it in Folders: for what lies right in its folder, then for
// what lies in it at any depth. FileUnknown is the id of a file that cannot be described.
//
// An Edge's port set includes what AnyPeer grants, and a specific Ports entry
// includes what the wider ones grant, so that the first hit is the answer.
type Image struct {
	Pods     map[policy.PodKey]uint32 // local pods: rule set id, RuleSetOpen if nothing selects them
	RuleSets map[uint32]RuleSet
	Edges    map[Edge]PortSet // those of retiring rule sets included
	Ports    map[PortKey]Grant
	// Processes answers for a program: an id of Programs.
	Processes map[ProcessKey]uint32 // rule id
	// Peers has the class of each address of a pod, node, Service or EndpointSlice;
	// ClassNone is left out where no prefix is around.
	Peers    map[netip.Addr]uint32
	Prefixes map[netip.Prefix]uint32
	// Formers has the class of each of Input.Formers.
	Formers map[FormerKey]uint32
	Rules   map[uint32]policy.RuleRef
	// Paths gives each process path that a rule names, without a sum, its program id.
	Paths map[string]uint32
	// Programs gives each file of Input.Programs its program id, in the same order;
	// that of a file of which rules name one path is its id in Paths. What no rule
	// names any more does not count; a file that none names has id 0.
	Programs []uint32
	// Folders has the folders that patterns name, with their final slash.
	Folders map[string]Folder
	// Permits are the acts that lists allow, and the rule that does. What a list says of
	// a pattern it says of the deeper ones too: of those only the deepest is asked.
	Permits map[Permit]uint32
	// FileRules say what lists of rules on files ask of an operation. What a list says of
	// a path or pattern includes what it says of the patterns around that.
	FileRules map[FileKey]RuntimeHead
	// Places are the folders of Input.Places, in the same order.
	Places []Folder
	// Closed lists the policies that close a pod, for this node does not give what they
	// ask for.
	Closed map[policy.PodKey][]policy.Ref
	// Selected lists, for each local pod, the policies that select it, sorted.
	Selected map[policy.PodKey][]policy.Ref
	// Sources are the CIDRs that each local pod may use as source besides its own
	// addresses, sorted; pods without any are left out.
	Sources map[policy.PodKey][]netip.Prefix
	// Services are the addresses of Services, sorted: a flow there may be judged by
	// the backend that is chosen for it.
	Services []netip.Addr
	// NodePorts are the ports under which Services are reached on this node's own
	// addresses, sorted.
	NodePorts []NodePort
}

// RuleSet is the head of a rule set. Arrays are indexed by policy.Direction,
// then by Layer.
type RuleSet struct {
	// Active layers are asked: they isolate the pod, or have ordered rules for it.
	Active  [2][Layers]bool
	Lists   [2][Layers]uint32  // lists of rules, 0: there are none
	AnyPeer [2][Layers]PortSet // of the rules without peers
	Errno   [2]bool            // a denial by WorkloadPolicies is EPERM at the socket
	// Listen is what the WorkloadPolicies' ingress rules grant to any peer, if one of
	// them names processes: who binds to a port that it reserves for others is refused.
	Listen PortSet
	// Audit is the rule set by which a flow that is allowed is judged a second
	// time, as if the Audit policies were enforced; 0: none isolates the pod.
	Audit uint32
	// Privileges is the action on a gain of privilege, PrivilegesRule the rule
	// that asks for it.
	Privileges     Action
	PrivilegesRule uint32
	// Exec and Capabilities restrict acts: [0] as enforced, [1] by which what that does
	// not touch is judged a second time, as if the Audit policies were enforced.
	Exec, Capabilities [2]RuntimeHead
	Files              [2]uint32 // lists of rules on files, 0: none; likewise
}

// RuntimeHead restricts one kind of acts; the zero RuntimeHead does not.
type RuntimeHead struct {
	List    uint32 // of permits, 0: none
	Rule    uint32 // that asks for Action
	Action  Action // on what List does not allow
	Parents bool   // List has permits with a Parent
}

// Permit is an act that a list allows.
type Permit struct {
	List    uint32
	What    uint32 // 0: exec, or use of a file; 1 + the number of a capability
	Program uint32 // 0: every one
	Parent  uint32 // 0: every one
}

// FileKey is a use of what a path or pattern stands for, in a list of rules on files.
type FileKey struct {
	List      uint32
	File      uint32
	Operation uint32 // number of the bit in policy.Operations
}

// Folder is the ids of the patterns for what lies in a folder.
type Folder struct {
	Files uint32 // of the pattern for the files right in it, 0: none
	Below uint32 // of the deepest one for what lies in it at any depth, 0: none
}

// Action on an act, in ascending strength.
type Action uint8

// The actions; the values are those of the kernel tables.
const (
	ActionIgnore  Action = 0
	ActionAudit   Action = 1
	ActionObserve Action = 2
	ActionDeny    Action = 3
	ActionKill    Action = 4
)

// Edge is one pair of a list of rules and a peer class that they name.
type Edge struct {
	List  uint32
	Class uint32
}

// PortSet names a port set; the zero PortSet grants nothing. Bit n of Lengths, 0 to
// 16, is set if the set has an entry of a protocol with that many bits. The bits
// 17 to 30 are a filter: 17 + (31*port + protocol) mod 14 is set for each entry with 16
// bits. Bit 31 is set if the set has no entry of every protocol.
type PortSet struct {
	ID      uint32
	Lengths uint32
}

// PortKey is an entry of a port set: the ports of Protocol whose first Bits bits are
// those of Port, whose other bits are 0. Protocol 0 (with Bits 0) stands for every
// protocol. Protocols without ports are asked for with port 0.
type PortKey struct {
	Set      uint32
	Protocol policy.Protocol
	Bits     uint8 // 0 to 16
	Port     uint16
}

// Verdict of a Grant in an ordered layer.
type Verdict uint8

// The verdicts; the values are those of the kernel tables.
const (
	Pass   Verdict = 0
	Accept Verdict = 1
	Deny   Verdict = 2
)

// Grant is what a port set says at a PortKey.
type Grant struct {
	// Rule is the rule that allows every process, 0: none; in an ordered layer the
	// rule that decides.
	Rule      uint32
	Processes uint32  // the process set that is asked first; 0: none
	Verdict   Verdict // of an ordered layer
	Patterns  bool    // Processes has patterns
}

// ProcessKey is an entry of a process set.
type ProcessKey struct {
	Set     uint32
	Program uint32
}

// NodePort is a port on the node's own addresses that leads to a Service.
type NodePort struct {
	Protocol policy.Protocol
	Port     uint16
}

// Input is what an Image is made from.
type Input struct {
	Cluster *policy.Cluster
	Local   []policy.PodKey // the pods that this node judges
	// Programs are the files that process paths led to in some container.
	Programs []Program
	// Places are the folders, in some container, that file patterns are about: of each the
	// paths that lead to it, one of them without links, with the final slash.
	Places [][]string
	// Formers are what pods were before their labels changed.
	Formers map[FormerKey]Former
	Gives   Gives
}

// Program is a file. It has several paths if it is a multi-call binary or has hard
// links.
type Program struct {
	Paths  []string
	SHA256 string // 32 bytes; "": not known
	// Files are the paths that lead to it as a file, one of them without links. It need
	// not be what the container began with.
	Files []string
}
