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
	Fallback        Fallback
	Exec            *Exec         // nil: not restricted
	Capabilities    *Capabilities // nil: not restricted
	Files           []FileRule
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
