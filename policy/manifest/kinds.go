// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	networkv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/v1alpha1"
)

// kind is how to read the objects of one kind.
type kind struct {
	name          policy.Kind
	apiVersion    string
	clusterScoped bool
	object        metav1.Object        // a new object, to be decoded into
	read          func(c *checker) any // checks object and returns its Object.Value
}

// kindOf chooses by the apiVersion and kind of an object.
func kindOf(data []byte) (*kind, error) {
	// Only these two fields: whatever else the object has is judged later.
	var meta struct {
		APIVersion any `json:"apiVersion"`
		Kind       any `json:"kind"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &meta); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	name, _ := meta.Kind.(string)
	if name == "" {
		return nil, &policy.FieldError{Field: "kind", Reason: "required; write a kind, such as NetworkPolicy"}
	}
	if name == "List" {
		return nil, &policy.FieldError{Field: "kind", Value: name,
			Reason: "a List of this form cannot be split; give its items one by one"}
	}
	k := newKind(policy.Kind(name))
	if k == nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownKind,
			&policy.FieldError{Field: "kind", Value: shorten(name), Reason: "not a kind that Sluice reads"})
	}
	if version, _ := meta.APIVersion.(string); version != k.apiVersion {
		return nil, fmt.Errorf("%w: %w", ErrUnknownKind,
			&policy.FieldError{Field: "apiVersion", Value: shorten(version), Reason: "write " + k.apiVersion})
	}
	return k, nil
}

// newKind returns nil for a kind that Sluice does not know.
func newKind(name policy.Kind) *kind {
	switch name {
	case policy.KindNamespace:
		o := new(corev1.Namespace)
		return &kind{name, "v1", true, o, func(*checker) any { return readNamespace(o) }}
	case policy.KindPod:
		o := new(corev1.Pod)
		return &kind{name, "v1", false, o, func(c *checker) any { return c.pod(o) }}
	case policy.KindNode:
		o := new(corev1.Node)
		return &kind{name, "v1", true, o, func(c *checker) any { return c.node(o) }}
	case policy.KindService:
		o := new(corev1.Service)
		return &kind{name, "v1", false, o, func(c *checker) any { return c.service(o) }}
	case policy.KindEndpointSlice:
		o := new(discoveryv1.EndpointSlice)
		return &kind{name, "discovery.k8s.io/v1", false, o, func(c *checker) any { return c.endpointSlice(o) }}
	case policy.KindNetworkPolicy:
		o := new(networkingv1.NetworkPolicy)
		return &kind{name, "networking.k8s.io/v1", false, o, func(c *checker) any { return c.networkPolicy(o) }}
	case policy.KindWorkloadPolicy:
		o := new(v1alpha1.WorkloadPolicy)
		return &kind{name, v1alpha1.SchemeGroupVersion.String(), false, o, func(c *checker) any { return c.workloadPolicy(o) }}
	case policy.KindClusterNetworkPolicy:
		o := new(clusterNetworkPolicy)
		return &kind{name, networkv1alpha2.GroupVersion.String(), true, o, func(c *checker) any { return c.clusterNetworkPolicy(o) }}
	case policy.KindClusterWorkloadPolicy:
		o := new(v1alpha1.ClusterWorkloadPolicy)
		return &kind{name, v1alpha1.SchemeGroupVersion.String(), true, o, func(c *checker) any { return c.clusterWorkloadPolicy(o) }}
	}
	return nil
}
