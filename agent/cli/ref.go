// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluice-io/sluice/policy"
)

// kind is a kind of object that the agent reads.
type kind struct {
	name          policy.Kind
	clusterScoped bool
}

var kinds = []kind{
	{policy.KindNamespace, true},
	{policy.KindNode, true},
	{policy.KindPod, false},
	{policy.KindService, false},
	{policy.KindEndpointSlice, false},
	{policy.KindNetworkPolicy, false},
	{policy.KindClusterNetworkPolicy, true},
	{policy.KindWorkloadPolicy, false},
	{policy.KindClusterWorkloadPolicy, true},
}

// parseRef reads the name of an object as it stands on the command line: NAME, or
// NAMESPACE/NAME where its kind has namespaces.
func parseRef(of, name string) (policy.Ref, error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return string(k.name) == of })
	if i < 0 {
		return policy.Ref{}, fmt.Errorf("%q is not a kind; write one of %s", of, kindNames())
	}
	ref := policy.Ref{Kind: kinds[i].name, Name: name}
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		ref.Namespace, ref.Name = namespace, rest
	}
	if kinds[i].clusterScoped {
		if ref.Namespace != "" && ref.Namespace != "-" {
			return ref, fmt.Errorf("a %s has no namespace; write its name alone", of)
		}
		ref.Namespace = ""
	} else if wrong := validation.IsDNS1123Label(ref.Namespace); wrong != nil {
		return ref, fmt.Errorf("%q: write NAMESPACE/NAME; the namespace is wrong: %s", name, wrong[0])
	}
	if wrong := validation.IsDNS1123Subdomain(ref.Name); wrong != nil {
		return ref, fmt.Errorf("%q: the name is wrong: %s", name, wrong[0])
	}
	return ref, nil
}

func kindNames() string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k.name))
	}
	return strings.Join(names, ", ")
}
