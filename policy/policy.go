// SPDX-License-Identifier: Apache-2.0

// Package policy holds Sluice's domain types and the pure functions over them.
//
// It knows neither the kernel nor a clock nor a socket: policy/manifest reads
// objects from YAML or JSON, policy/compile lowers a Cluster to the flat tables
// that the kernel looks up, and policy/eval answers the same questions from the
// objects themselves, in the words of the API's documentation. compile and eval
// share only these types, so that one can check the other.
package policy

import (
	"cmp"
	"fmt"
	"net/netip"
)

// Kind is an object kind as its manifest spells it.
type Kind string

// The kinds that Sluice reads.
const (
	KindNamespace             Kind = "Namespace"
	KindPod                   Kind = "Pod"
	KindNode                  Kind = "Node"
	KindService               Kind = "Service"
	KindEndpointSlice         Kind = "EndpointSlice"
	KindNetworkPolicy         Kind = "NetworkPolicy"
	KindClusterNetworkPolicy  Kind = "ClusterNetworkPolicy"
	KindWorkloadPolicy        Kind = "WorkloadPolicy"
	KindClusterWorkloadPolicy Kind = "ClusterWorkloadPolicy"
)

// Ref names one object. Namespace is empty for cluster-scoped kinds.
type Ref struct {
	Kind      Kind
	Namespace string
	Name      string
}

// String is "Kind/namespace/name", with "-" for the namespace of a
// cluster-scoped object.
func (r Ref) String() string {
	return fmt.Sprintf("%s/%s/%s", r.Kind, cmp.Or(r.Namespace, "-"), r.Name)
}

// Compare orders refs by kind, namespace and name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.Namespace, o.Namespace), cmp.Compare(r.Name, o.Name))
}

// RuleRef names one rule: its policy and its index, from 0, within its direction.
type RuleRef struct {
	Policy Ref
	Index  int
}

// PodKey names a pod.
type PodKey struct{ Namespace, Name string }

// String is "namespace/name".
func (k PodKey) String() string { return k.Namespace + "/" + k.Name }

// FieldError says which field of an object is wrong, what stood there and what
// to write instead. Manifest errors are joined FieldErrors.
type FieldError struct {
	Field  string // as in "spec.egress[0].ports[1].port"
	Value  string // what stood there, shortened; may be empty
	Reason string // what is wrong and what would be right
}

func (e *FieldError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s: %s", e.Field, e.Reason)
	}
	return fmt.Sprintf("%s: %q: %s", e.Field, e.Value, e.Reason)
}

// Namespace is a Kubernetes namespace. The label kubernetes.io/metadata.name is
// always there, as the API server sets it.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// Pod is what policies see of a pod, here or elsewhere.
type Pod struct {
	PodKey
	UID            string
	Labels         map[string]string
	IPs            []netip.Addr // unmapped; empty until known
	Node           string
	HostNetwork    bool   // neither selected by policies nor reached as a pod
	ServiceAccount string // "default" if the manifest names none
	Ports          []ContainerPort
}

// ContainerPort is a named port of a pod: what a rule's port name means there.
type ContainerPort struct {
	Name     string
	Protocol Protocol
	Number   uint16
}

// Node is a node of the cluster. Policies reach host-network pods as their node.
type Node struct {
	Name     string
	Labels   map[string]string
	IPs      []netip.Addr   // of status.addresses; unmapped
	PodCIDRs []netip.Prefix // masked
}

// ObjectKey names a namespaced object that is not a pod.
type ObjectKey struct{ Namespace, Name string }

// Service is what policies see of a Service.
type Service struct {
	ObjectKey
	Selector map[string]string // empty: its EndpointSlices alone say what is behind it
	IPs      []netip.Addr      // cluster, external and load balancer addresses; unmapped
	Ports    []ServicePort
}

// ServicePort is a port of a Service.
type ServicePort struct {
	Protocol Protocol
	Number   uint16
	NodePort uint16 // 0: none
}

// EndpointSlice is some of the addresses behind a Service, ready or not.
type EndpointSlice struct {
	ObjectKey
	Service string // in the same namespace
	IPs     []netip.Addr
}

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
// resolved there.
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

// NetworkPolicy is networking.k8s.io/v1 NetworkPolicy after defaulting: Isolates
// says which directions policyTypes, written or defaulted, name.
type NetworkPolicy struct {
	Namespace, Name string
	Pods            Selector
	Isolates        [2]bool // by Direction
	Rules           [2][]Rule
}

// Tier is where a ClusterNetworkPolicy stands: before or after the namespaced kinds.
type Tier string

// The tiers. Baseline is asked where neither a NetworkPolicy nor a WorkloadPolicy
// isolates the pod in the flow's direction.
const (
	Admin    Tier = "Admin"
	Baseline Tier = "Baseline"
)

// ClusterNetworkPolicy is policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy.
// In a tier, the first rule that matches decides, by priority (lowest first),
// policy name and index.
type ClusterNetworkPolicy struct {
	Name       string
	Tier       Tier
	Priority   int // 0 to 1000
	Namespaces Selector
	Pods       Selector
	Rules      [2][]Rule // by Direction
}

// Mode of a WorkloadPolicy.
type Mode string

// Enforce isolates and kills; Audit only reports what Enforce would have done.
const (
	Enforce Mode = "Enforce"
	Audit   Mode = "Audit"
)

// DenyResponse is what a process sees of a denial.
type DenyResponse string

// Errno is EPERM at the socket call, Drop is silence.
const (
	Errno DenyResponse = "Errno"
	Drop  DenyResponse = "Drop"
)

// Class is an escalation class.
type Class string

// Privileges is a gain of capability, uid or gid over the process's baseline.
const Privileges Class = "Privileges"

// Action is what happens to an act that a runtime rule does not allow.
type Action string

// The actions of this version's runtime rules.
const (
	Kill   Action = "Kill"
	Ignore Action = "Ignore"
)

// EscalationRule says what happens on acts of some classes.
type EscalationRule struct {
	Classes []Class
	Action  Action
}

// WorkloadPolicy is sluice.dev/v1alpha1 WorkloadPolicy or ClusterWorkloadPolicy
// after defaulting. The latter has no Namespace, but Namespaces, and its peers
// name their namespaces themselves.
type WorkloadPolicy struct {
	Namespace, Name string
	Namespaces      *Selector // of a ClusterWorkloadPolicy; else nil
	Pods            Selector
	Mode            Mode
	DenyResponse    DenyResponse
	Isolates        [2]bool // by Direction
	Rules           [2][]Rule
	Escalation      []EscalationRule
	// AllowedSources are CIDRs that the pods may use as source besides their own
	// addresses; only a ClusterWorkloadPolicy in Enforce mode grants them.
	AllowedSources []netip.Prefix
}

// Ref names the policy.
func (p *NetworkPolicy) Ref() Ref { return Ref{KindNetworkPolicy, p.Namespace, p.Name} }

// Ref names the policy.
func (p *ClusterNetworkPolicy) Ref() Ref { return Ref{Kind: KindClusterNetworkPolicy, Name: p.Name} }

// Ref names the policy.
func (p *WorkloadPolicy) Ref() Ref {
	if p.Namespaces != nil {
		return Ref{Kind: KindClusterWorkloadPolicy, Name: p.Name}
	}
	return Ref{KindWorkloadPolicy, p.Namespace, p.Name}
}

// Cluster is a snapshot of everything that verdicts depend on. Pods of this node
// stand in Pods like those elsewhere. A namespace that no object describes has
// only its kubernetes.io/metadata.name label.
type Cluster struct {
	Namespaces             map[string]Namespace
	Pods                   map[PodKey]Pod
	Nodes                  map[string]Node
	Services               map[ObjectKey]Service
	EndpointSlices         map[ObjectKey]EndpointSlice
	ClusterNetworkPolicies []*ClusterNetworkPolicy
	NetworkPolicies        []*NetworkPolicy
	WorkloadPolicies       []*WorkloadPolicy // ClusterWorkloadPolicies too
}

// Flow is a question to a Cluster: may Pod, in Direction, talk to Peer?
type Flow struct {
	Pod       PodKey // the judging pod
	Direction Direction
	Peer      netip.Addr
	Protocol  Protocol
	Port      uint16 // the destination's; 0 for protocols without ports
	Process   string // resolved path of the pod's program, on ingress the listening one; "" if unknown
}

// Reason says why a verdict is what it is.
type Reason string

// The reasons that policies give. The datapath has more (see bpf/state).
const (
	ReasonPolicy      Reason = "policy"       // a rule allows it, or a ClusterNetworkPolicy's denies it
	ReasonDefaultDeny Reason = "default-deny" // isolated, and no rule allows it
	ReasonNoPolicy    Reason = "no-policy"    // not isolated in this direction
)

// Verdict is the answer to a Flow.
type Verdict struct {
	Allowed bool
	Reason  Reason
	// Rule decides the flow when Reason is ReasonPolicy: a ClusterNetworkPolicy's
	// that accepts or denies, else the WorkloadPolicy's if one isolates the pod in
	// this direction, else the NetworkPolicy's. Of several allow rules the one named
	// is the first by policy kind, namespace, name and index, with rules for
	// particular processes before rules for every process.
	Rule RuleRef
	// Kind says, when Reason is ReasonDefaultDeny, which policies do not allow the
	// flow: KindWorkloadPolicy (ClusterWorkloadPolicies with it) where these isolate
	// the pod and none of them allows it, else KindNetworkPolicy.
	Kind Kind
	// Errno is true for a denial that the process sees as EPERM: a WorkloadPolicy
	// with denyResponse Errno isolates the pod and none of the WorkloadPolicies
	// allows the flow.
	Errno bool
	// AuditDenied is set on an allowed flow that would be denied if every Audit
	// policy were enforced.
	AuditDenied bool
}
