// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the API types of group sluice.dev, version v1alpha1:
// WorkloadPolicy and ClusterWorkloadPolicy.
//
// The types are the whole schema. What a version of Sluice does not support yet
// is refused by policy/manifest, never ignored.
//
// +kubebuilder:object:generate=true
// +groupName=sluice.dev
package v1alpha1

//go:generate go tool controller-gen object crd paths=. output:crd:dir=../../conf/crds
