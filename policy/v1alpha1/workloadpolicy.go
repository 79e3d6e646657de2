// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WorkloadPolicy says which program in the selected pods may reach what, and
// what happens when one does more than that.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wlp,categories=sluice
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type WorkloadPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec WorkloadPolicySpec `json:"spec"`
	// +optional
	Status PolicyStatus `json:"status,omitempty"`
}

// WorkloadPolicyList is a list of WorkloadPolicies.
//
// +kubebuilder:object:root=true
type WorkloadPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WorkloadPolicy `json:"items"`
}

// ClusterWorkloadPolicy is a WorkloadPolicy for pods of several namespaces.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cwlp,categories=sluice
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterWorkloadPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ClusterWorkloadPolicySpec `json:"spec"`
	// +optional
	Status PolicyStatus `json:"status,omitempty"`
}

// ClusterWorkloadPolicyList is a list of ClusterWorkloadPolicies.
//
// +kubebuilder:object:root=true
type ClusterWorkloadPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterWorkloadPolicy `json:"items"`
}

// ClusterWorkloadPolicySpec is a WorkloadPolicySpec and the namespaces that it
// is for.
type ClusterWorkloadPolicySpec struct {
	// NamespaceSelector selects the namespaces whose pods podSelector chooses
	// from. Empty selects all.
	// +optional
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	WorkloadPolicySpec `json:",inline"`

	// AllowedSources are further CIDRs that the selected pods may use as their
	// source address.
	// +optional
	AllowedSources []string `json:"allowedSources,omitempty"`
}

// WorkloadPolicySpec is what a WorkloadPolicy asks for. Each section isolates
// what it names: absent is not isolated, {} is isolated with nothing allowed.
// Allow lists of several policies add up.
type WorkloadPolicySpec struct {
	// PodSelector selects pods of the policy's namespace. Empty selects all.
	// +optional
	PodSelector metav1.LabelSelector `json:"podSelector,omitempty"`

	// Mode Audit only reports what Enforce would have denied or killed.
	// +kubebuilder:default=Enforce
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// DenyResponse is what a process sees of a network denial by this policy:
	// EPERM at the socket call, or silence.
	// +kubebuilder:default=Errno
	// +optional
	DenyResponse DenyResponse `json:"denyResponse,omitempty"`

	// Fallback is what a rule becomes on a node that cannot give it.
	// +kubebuilder:default=Observe
	// +optional
	Fallback Fallback `json:"fallback,omitempty"`

	// Egress isolates connections from the selected pods.
	// +optional
	Egress *EgressSection `json:"egress,omitempty"`

	// Ingress isolates connections to the selected pods.
	// +optional
	Ingress *IngressSection `json:"ingress,omitempty"`

	// Exec restricts which programs the selected pods may run.
	// +optional
	Exec *ExecSection `json:"exec,omitempty"`

	// Files restricts which programs may use some files.
	// +optional
	Files *FilesSection `json:"files,omitempty"`

	// Capabilities restricts which capabilities may be used.
	// +optional
	Capabilities *CapabilitiesSection `json:"capabilities,omitempty"`

	// Escalation says what happens on a gain of privilege or a way out of the
	// container.
	// +optional
	Escalation *EscalationSection `json:"escalation,omitempty"`
}

// Mode of a policy.
// +kubebuilder:validation:Enum=Enforce;Audit
type Mode string

// DenyResponse is what a process sees of a denial.
// +kubebuilder:validation:Enum=Errno;Drop
type DenyResponse string

// Fallback is what a rule becomes on a node that cannot give it.
// +kubebuilder:validation:Enum=Observe;Kill;Close
type Fallback string

// PolicyStatus is what the agents report.
type PolicyStatus struct {
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
