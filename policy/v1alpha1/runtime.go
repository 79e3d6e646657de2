// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Program is an executable file of the container.
type Program struct {
	// Path is the absolute path inside the container's root, symlinks resolved
	// there. For a script it is the script's. A trailing /* stands for one level,
	// /** for any depth.
	Path Path `json:"path"`
	// Interpreter is the path of the program that runs the script.
	// +optional
	Interpreter Path `json:"interpreter,omitempty"`
}

// Path is an absolute path.
// +kubebuilder:validation:MaxLength=255
// +kubebuilder:validation:Pattern=`^/`
type Path string

// Action is what happens to an act that no policy allows. The strongest of the
// policies that restrict it wins: Kill, Deny, Audit.
// +kubebuilder:validation:Enum=Deny;Kill;Audit
type Action string

// ExecSection lists the programs that may run.
type ExecSection struct {
	// ImageOnly allows every program of the container's image and no other: nothing
	// that was made or changed since the container began, and nothing on a volume. There
	// is no allow beside it.
	// +optional
	ImageOnly bool `json:"imageOnly,omitempty"`
	// +optional
	Allow []ExecRule `json:"allow,omitempty"`
	// +kubebuilder:default=Deny
	// +optional
	Action Action `json:"action,omitempty"`
}

// ExecRule allows a program to run.
type ExecRule struct {
	Program `json:",inline"`
	// SHA256 is the sum that the program's file must have, in hex; any if empty.
	// +kubebuilder:validation:Pattern=`^[0-9a-fA-F]{64}$`
	// +optional
	SHA256 string `json:"sha256,omitempty"`
	// Parents are the programs that may run it; any if empty. What the container
	// runtime starts has none.
	// +optional
	Parents []Program `json:"parents,omitempty"`
}

// FilesSection lists files with the programs that may use them.
type FilesSection struct {
	// +optional
	Rules []FileRule `json:"rules,omitempty"`
}

// FileRule leaves operations on some files to some programs.
type FileRule struct {
	// Paths are absolute paths of files and folders inside the container's root,
	// symlinks resolved there. A trailing /* stands for what lies in the folder, /**
	// for what lies below it at any depth.
	// +kubebuilder:validation:MinItems=1
	// +listType=set
	Paths []Path `json:"paths"`
	// +kubebuilder:validation:MinItems=1
	// +listType=set
	Operations []FileOperation `json:"operations"`
	// Allow lists the programs that may; nobody else.
	// +optional
	Allow []Program `json:"allow,omitempty"`
	// +kubebuilder:default=Deny
	// +optional
	Action Action `json:"action,omitempty"`
}

// FileOperation is a use of a file.
// +kubebuilder:validation:Enum=Read;Write;Create;Delete;Rename;Link;Chmod;Chown;MountOver;MmapExec;Truncate
type FileOperation string

// CapabilitiesSection lists the capabilities that may be used.
type CapabilitiesSection struct {
	// +optional
	Allow []CapabilityRule `json:"allow,omitempty"`
	// +kubebuilder:default=Deny
	// +optional
	Action Action `json:"action,omitempty"`
}

// CapabilityRule allows the use of capabilities.
type CapabilityRule struct {
	// +kubebuilder:validation:MinItems=1
	// +listType=set
	Names []Capability `json:"names"`
	// Processes lists the programs that may use them; all if empty.
	// +optional
	Processes []Program `json:"processes,omitempty"`
}

// Capability is the name of a capability without CAP_, as in NET_RAW.
// +kubebuilder:validation:Pattern=`^[A-Z][A-Z0-9_]*$`
type Capability string

// EscalationSection says what happens on acts of the escalation classes.
type EscalationSection struct {
	// Default is for the classes that no rule names. Observation shows them in
	// any case.
	// +kubebuilder:default=Ignore
	// +optional
	Default EscalationAction `json:"default,omitempty"`
	// +optional
	Rules []EscalationRule `json:"rules,omitempty"`
}

// EscalationRule says what happens on acts of some classes.
type EscalationRule struct {
	// +kubebuilder:validation:MinItems=1
	// +listType=set
	Classes []EscalationClass `json:"classes"`
	// Allow lists the programs that may.
	// +optional
	Allow  []Program        `json:"allow,omitempty"`
	Action EscalationAction `json:"action"`
	// Quarantine cuts the pod off from everything as well, until it is released.
	// +optional
	Quarantine bool `json:"quarantine,omitempty"`
}

// EscalationClass is a kind of escalation.
// +kubebuilder:validation:Enum=Privileges;Namespaces;Fileless;Kernel;Mounts;Ptrace;RuntimeSockets;ReverseShell;LeakedDescriptors
type EscalationClass string

// EscalationAction is what happens on an escalation.
// +kubebuilder:validation:Enum=Ignore;Audit;Deny;Kill
type EscalationAction string
