// SPDX-License-Identifier: Apache-2.0

package policy

// Action is what happens to an act that a runtime rule does not allow.
type Action string

// The actions, from the strongest. Kill ends the process, Prevent fails the act with
// EPERM, Report lets it pass and tells of it.
const (
	Kill    Action = "Kill"
	Prevent Action = "Deny"
	Report  Action = "Audit"
	Ignore  Action = "Ignore"
)

// Fallback is what Prevent becomes on a node without BPF LSM.
type Fallback string

// The fallbacks. Observe reports the act, FallbackKill is Kill, Close closes the pods
// that the policy selects.
const (
	Observe      Fallback = "Observe"
	FallbackKill Fallback = "Kill"
	Close        Fallback = "Close"
)

// Exec restricts what may run. Any entry of Allow, of any policy, allows an exec.
type Exec struct {
	// ImageOnly allows every program of the container's image, and has no Allow beside it.
	ImageOnly bool
	Allow     []ExecRule
	Action    Action // Kill, Prevent or Report
}

// ExecRule allows a program to run.
type ExecRule struct {
	Process
	// SHA256 is the sum that the file must have, 32 bytes; empty: any.
	SHA256 string
	// Parents are the programs that may run it: what the process ran before, which
	// after a fork is what its parent runs. Empty: any.
	Parents []Process
}

// Capabilities restricts the use of capabilities. Any entry of Allow, of any policy,
// allows a use.
type Capabilities struct {
	Allow  []CapabilityRule
	Action Action // Kill, Prevent or Report
}

// CapabilityRule allows some programs the use of some capabilities.
type CapabilityRule struct {
	Names     CapabilitySet
	Processes []Process // empty: every program
}

// FileRule leaves operations on some files to some programs.
type FileRule struct {
	// Paths are absolute, symlinks resolved, or spelled as Resolved knows; a trailing /* stands for what lies in one
	// folder, /** for what lies below it at any depth.
	Paths      []string
	Operations Operations
	Allow      []Process // nobody else may; empty: nobody
	Action     Action    // Kill, Prevent or Report
}
