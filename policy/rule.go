// SPDX-License-Identifier: Apache-2.0

package policy

import "net/netip"

// Operator is a label selector operator.
type Operator string

// The operators of a label selector requirement (meta/v1).
const (
	In           Operator = "In"
	NotIn        Operator = "NotIn"
	Exists       Operator = "Exists"
	DoesNotExist Operator = "DoesNotExist"
)

// Requirement is one expression of a Selector.
type Requirement struct {
	Key      string
	Operator Operator
	Values   []string
}

// Selector is a label selector; matchLabels are read as In requirements of one
// value. An empty one selects everything. Where the API tells a missing selector
// from an empty one, the field is a pointer.
type Selector struct {
	Requirements []Requirement
}

// Direction of a flow as the judged pod sees it.
type Direction uint8

// The two directions; the values are those of the kernel tables.
const (
	Ingress Direction = 0
	Egress  Direction = 1
)

func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// Protocol is an IP protocol number. AnyProtocol stands for every one.
type Protocol uint8

// Protocols by their IANA numbers.
const (
	AnyProtocol Protocol = 0
	ICMP        Protocol = 1
	TCP         Protocol = 6
	UDP         Protocol = 17
	ICMPv6      Protocol = 58
	SCTP        Protocol = 132
)

// Port is one entry of a rule's ports: one protocol's ports Number to End, or all
// of them, or the container port named Name of the destination pod.
type Port struct {
	Protocol Protocol // with a Name, AnyProtocol is that of the container port
	Number   uint16   // 0: every port of the protocol, or see Name
	End      uint16   // 0: Number alone; else above Number
	Name     string   // Number and End are 0
}

// IPBlock is a CIDR less its exceptions, all masked.
type IPBlock struct {
	CIDR   netip.Prefix
	Except []netip.Prefix
}

// Entity is a well-known peer.
type Entity string

// The entities. Node is every node's addresses, KubeAPIServer the addresses behind
// the Service default/kubernetes, World every address that is none of a pod's, a
// node's or a Service's, nor inside a node's PodCIDRs.
const (
	KubeAPIServer Entity = "KubeAPIServer"
	EntityNode    Entity = "Node"
	World         Entity = "World"
)

// ServiceAccounts selects pods by the account they run under.
type ServiceAccounts struct {
	Namespaces *Selector // nil: the policy's own namespace
	Names      []string  // empty: every account
}

// Peer is one entry of a rule's from or to. Exactly one of its groups is set:
// IPBlock; Namespaces and Pods; ServiceAccounts; Service; Entity; Nodes;
// DomainNames. Host-network pods are no pods here.
//
// Selectors match a pod if Namespaces selects its namespace (nil: the namespace is
// the policy's own) and Pods selects it (nil: every pod). Service matches the
// addresses of its EndpointSlices and the pods that its selector selects. Nodes
// matches the addresses of the nodes that it selects. DomainNames match nothing in
// this version.
type Peer struct {
	IPBlock         *IPBlock
	Namespaces      *Selector
	Pods            *Selector
	ServiceAccounts *ServiceAccounts
	Service         *ObjectKey
	Entity          Entity
	Nodes           *Selector
	DomainNames     []string
}

// Process names a program by its path inside the container's root, symlinks
// resolved there. In runtime rules a trailing /* stands for the programs in one
// folder, /** for those below it at any depth.
type Process struct {
	Path string
}

// RuleAction is what a ClusterNetworkPolicy's rule does with what it matches.
type RuleAction string

// Accept and Deny are final; Pass goes on with the next tier.
const (
	Accept RuleAction = "Accept"
	Deny   RuleAction = "Deny"
	Pass   RuleAction = "Pass"
)

// Rule is one rule. Empty Peers: every peer; empty Ports: every protocol and port;
// empty Processes: every program (of the pod: on ingress the one that listens). A
// Rule whose source spelled one of these lists out as a pointer to nothing does
// not exist in the standard APIs.
type Rule struct {
	Peers     []Peer
	Ports     []Port
	Processes []Process
	// Action of a ClusterNetworkPolicy's rule; other kinds only allow, and leave
	// it empty.
	Action RuleAction
	// Unknown says that one of a ClusterNetworkPolicy's peers has no field that we
	// know. Then an Accept rule matches nothing, any other denies everything.
	Unknown bool
}
