// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SchemeGroupVersion is sluice.dev/v1alpha1.
var SchemeGroupVersion = schema.GroupVersion{Group: "sluice.dev", Version: "v1alpha1"}

// AddToScheme registers the types of this package with a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion,
		&WorkloadPolicy{}, &WorkloadPolicyList{},
		&ClusterWorkloadPolicy{}, &ClusterWorkloadPolicyList{})
	metav1.AddToGroupVersion(s, SchemeGroupVersion)
	return nil
}
