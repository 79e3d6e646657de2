// SPDX-License-Identifier: Apache-2.0

package policy

import "net/netip"

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
