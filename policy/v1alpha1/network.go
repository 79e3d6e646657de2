// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// EgressSection lists the connections that the selected pods may make.
type EgressSection struct {
	// +optional
	Allow []EgressRule `json:"allow,omitempty"`
}

// EgressRule allows what matches each of its fields. A field left out or empty
// matches everything.
type EgressRule struct {
	// To lists destinations.
	// +optional
	To []Peer `json:"to,omitempty"`
	// Ports lists protocols and ports.
	// +optional
	Ports []Port `json:"ports,omitempty"`
	// Processes lists the programs that may make the connection.
	// +optional
	Processes []Program `json:"processes,omitempty"`
	// TLS asks for a TLS handshake and restricts it.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// IngressSection lists the connections that the selected pods may receive.
type IngressSection struct {
	// +optional
	Allow []IngressRule `json:"allow,omitempty"`
}

// IngressRule allows what matches each of its fields. A field left out or empty
// matches everything.
type IngressRule struct {
	// From lists sources.
	// +optional
	From []Peer `json:"from,omitempty"`
	// Ports lists protocols and ports.
	// +optional
	Ports []Port `json:"ports,omitempty"`
	// Processes lists the programs that may listen and be reached.
	// +optional
	Processes []Program `json:"processes,omitempty"`
}

// Peer is one of: pods, by podSelector and namespaceSelector; an ipBlock;
// domainNames; a service; a serviceAccount; an entity.
//
// +kubebuilder:validation:MinProperties=1
type Peer struct {
	// PodSelector selects pods: of the namespaces that NamespaceSelector selects,
	// of the policy's own without one.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
	// NamespaceSelector selects namespaces; without PodSelector, all their pods.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// IPBlock is a CIDR less its exceptions.
	// +optional
	IPBlock *networkingv1.IPBlock `json:"ipBlock,omitempty"`
	// DomainNames are names that the pod resolved; a leading "*." matches any
	// number of labels. Egress only.
	// +optional
	DomainNames []DomainName `json:"domainNames,omitempty"`
	// Service stands for its backends.
	// +optional
	Service *ServiceReference `json:"service,omitempty"`
	// ServiceAccount selects pods by the account they run as.
	// +optional
	ServiceAccount *ServiceAccountSelector `json:"serviceAccount,omitempty"`
	// Entity is a well-known peer.
	// +optional
	Entity Entity `json:"entity,omitempty"`
}

// DomainName is a DNS name, "*." for any labels before it.
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^(\*\.)?([a-z0-9_]([-a-z0-9_]*[a-z0-9_])?\.)*[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?$`
type DomainName string

// ServiceReference names a Service.
type ServiceReference struct {
	// Namespace of the Service; the policy's own if empty.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// ServiceAccountSelector selects pods by their service account.
type ServiceAccountSelector struct {
	// NamespaceSelector selects the accounts' namespaces; the policy's own
	// without one.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// Names of the accounts; all if empty.
	// +optional
	Names []string `json:"names,omitempty"`
}

// Entity is a well-known peer.
// +kubebuilder:validation:Enum=KubeAPIServer;Node;World
type Entity string

// Port is a protocol and its ports. Its fields are those of
// networking.k8s.io/v1 NetworkPolicyPort, to which it converts.
type Port struct {
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	// +kubebuilder:default=TCP
	// +optional
	Protocol *corev1.Protocol `json:"protocol,omitempty"`
	// Port is a number or the name of a container port; every port if absent.
	// +optional
	Port *intstr.IntOrString `json:"port,omitempty"`
	// EndPort makes a range that starts at Port.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	EndPort *int32 `json:"endPort,omitempty"`
}

// TLS restricts a TLS handshake.
type TLS struct {
	// ServerNames are the names that the client may ask for.
	// +optional
	ServerNames []DomainName `json:"serverNames,omitempty"`
	// MinVersion is the least version that the client may offer as its best.
	// +optional
	MinVersion TLSVersion `json:"minVersion,omitempty"`
}

// TLSVersion is a version of TLS.
// +kubebuilder:validation:Enum=TLS12;TLS13
type TLSVersion string
