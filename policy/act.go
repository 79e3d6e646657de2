// SPDX-License-Identifier: Apache-2.0

package policy

// Program is what a process runs, as far as runtime rules can tell.
type Program struct {
	Path   string // inside the container's root, symlinks resolved; "" if unknown
	SHA256 string // of its file, 32 bytes; "" if unknown
	// Image says that the container began with its file and mount: no rule that names
	// programs matches another one.
	Image bool
	// Root says of such a program that it lies on the container's root, and not on a
	// volume: it is the image's.
	Root bool
}

// ExecAct is a process that starts a program.
type ExecAct struct {
	Program
	// Parent is what the process ran before, which after a fork is what its parent runs;
	// zero for what the container runtime starts.
	Parent Program
}

// CapabilityAct is a use of a capability, in whatever user namespace.
type CapabilityAct struct {
	Program
	Capability Capability
	// Unaudited says that the kernel asks without audit: it has another way for those
	// who may not, so that the question is no reason to kill.
	Unaudited bool
}

// FileAct is a use of a file.
type FileAct struct {
	Program
	File      string // its path inside the container's root, symlinks resolved
	Operation Operations
}
