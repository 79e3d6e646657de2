// SPDX-License-Identifier: Apache-2.0

// Package rpc is the contract of the agent's socket: the JSON that the API
// speaks, a client for it, and the records of attached pods that plugin and
// agent share under the state folder.
package rpc

import (
	"net/netip"
	"time"
)

// PodRef names a pod in flows and events.
type PodRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Rule names the policy rule that decided.
type Rule struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Index     int    `json:"index"`
}

// Counter counts frames one way.
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Endpoint is one side of a flow. Pod fields are empty for other addresses.
type Endpoint struct {
	Namespace string     `json:"namespace,omitempty"`
	Pod       string     `json:"pod,omitempty"`
	IP        netip.Addr `json:"ip"`
	Port      uint16     `json:"port"`
	Name      string     `json:"name,omitempty"`
	Process   *Process   `json:"process,omitempty"`
}

// Flow is one flow as one judging pod sees it.
type Flow struct {
	ID          string    `json:"id"`
	Time        time.Time `json:"time"`
	StartTime   time.Time `json:"startTime"`
	Phase       string    `json:"phase"` // new update closed denied
	Pod         PodRef    `json:"pod"`
	Direction   string    `json:"direction"` // egress ingress
	Verdict     string    `json:"verdict"`   // allowed denied audit-denied
	Reason      string    `json:"reason"`
	Protocol    string    `json:"protocol"`
	Forward     Counter   `json:"forward"` // from the side that opened the flow
	Reverse     Counter   `json:"reverse"`
	Source      Endpoint  `json:"source"`
	Destination Endpoint  `json:"destination"`
	Rule        *Rule     `json:"rule"`
	// DeniedBy lists "Kind/namespace/name" of the policies whose default denies, for
	// the reason default-deny.
	DeniedBy []string `json:"deniedBy,omitempty"`
	// Backend is where DNAT led to, for a flow to a Service; Client is who began the
	// flow, where SNAT hides it behind the source.
	Backend *Endpoint `json:"backend,omitempty"`
	Client  *Endpoint `json:"client,omitempty"`
}

// Event is one act of a process and what became of it.
type Event struct {
	Time    time.Time `json:"time"`
	Type    string    `json:"type"` // exec fork exit escalation capability file
	Class   string    `json:"class,omitempty"`
	Outcome string    `json:"outcome"` // denied killed observed audited
	Tier    string    `json:"tier"`    // full no-LSM
	Pod     PodRef    `json:"pod"`
	Process Process   `json:"process"`
	// Lineage are the process images that Process comes from, the nearest first.
	Lineage        []Ancestor `json:"lineage,omitempty"`
	Rule           *Rule      `json:"rule"`
	Detail         string     `json:"detail,omitempty"`
	ExitCode       *int       `json:"exitCode,omitempty"`
	Signal         string     `json:"signal,omitempty"`
	ContainerEnded bool       `json:"containerEnded,omitempty"`
}

// Pod is a pod attached on this node.
type Pod struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	UID       string            `json:"uid"`
	IPs       []netip.Addr      `json:"ips"`
	Cgroup    string            `json:"cgroup"`
	Labels    map[string]string `json:"labels"`
	State     string            `json:"state"` // enforced closed open quarantined
	Policies  []string          `json:"policies"`
}

// RuleStatus says what this node gives for one rule. Index counts within Direction,
// or within Section for a rule that has no direction.
type RuleStatus struct {
	Direction string `json:"direction,omitempty"` // ingress egress
	Section   string `json:"section,omitempty"`   // escalation exec capabilities
	Index     int    `json:"index"`
	Outcome   string `json:"outcome"`
	Note      string `json:"note,omitempty"` // what a path resolved to, or why not
	// Reason is why Outcome is less than what the rule asks for.
	Reason string `json:"reason,omitempty"`
}

// PolicyStatus says whether a policy is in force here.
type PolicyStatus struct {
	Kind      string       `json:"kind"`
	Namespace string       `json:"namespace"`
	Name      string       `json:"name"`
	State     string       `json:"state"` // enforced audited degraded
	Reason    string       `json:"reason"`
	Rules     []RuleStatus `json:"rules"`
}

// MapStatus is the fill of one kernel map. Full counts refused entries.
type MapStatus struct {
	Name    string `json:"name"`
	Entries uint64 `json:"entries"`
	Max     uint64 `json:"max"`
	Full    uint64 `json:"full"`
}

// Status is the state of one agent.
type Status struct {
	Version     string            `json:"version"`
	Node        string            `json:"node"`
	Tier        string            `json:"tier"` // full no-LSM
	Revision    uint64            `json:"revision"`
	Ready       bool              `json:"ready"`
	Enforcement string            `json:"enforcement"` // on, or off and for how long
	Pods        map[string]int    `json:"pods"`
	Policies    []PolicyStatus    `json:"policies"`
	Maps        []MapStatus       `json:"maps"`
	Lost        map[string]uint64 `json:"lost"`
	// Problems are things that a person should look at, such as a manifest that
	// could not be read.
	Problems []string `json:"problems,omitempty"`
}

// PutReply answers a PUT.
type PutReply struct {
	Revision uint64 `json:"revision"`
	State    string `json:"state"` // enforced degraded
	Pods     int    `json:"pods"`
}

// Error is the body of every answer above 399.
type Error struct {
	Message string `json:"error"`
	Field   string `json:"field"`
	Value   string `json:"value"`
}

// AttachReply answers the plugin: the state of the pod when the agent returned.
type AttachReply struct {
	State string `json:"state"` // enforced closed open
}
