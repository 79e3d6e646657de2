// SPDX-License-Identifier: Apache-2.0

// Package manifest reads Kubernetes objects from YAML or JSON into the domain
// types of package policy.
//
// Reading is strict: an unknown or repeated field, a wrong value and everything
// that this version does not support is an error that names its field. Nothing
// is ignored, so that a policy never says more than what is enforced. The one
// exception is a peer of a ClusterNetworkPolicy that has no field that we know:
// its API asks to fail closed on it, see policy.Rule.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluice-io/sluice/policy"
)

// ErrSyntax is wrapped by errors about text that is neither YAML nor JSON, or
// that is not exactly one object.
var ErrSyntax = errors.New("cannot parse")

// ErrUnknownKind is wrapped by errors about an apiVersion and kind that Sluice
// does not read. The same error wraps a policy.FieldError.
var ErrUnknownKind = errors.New("unknown kind")

// Object is one object that was read and found valid.
type Object struct {
	Ref policy.Ref
	// JSON is the object as it was written, in canonical form: one line, keys
	// sorted, the namespace filled in. Parse reads it back to an equal Object.
	JSON []byte
	// Value is a policy.Namespace, policy.Pod, policy.Node, policy.Service,
	// policy.EndpointSlice, *policy.NetworkPolicy, *policy.ClusterNetworkPolicy or
	// *policy.WorkloadPolicy (of a ClusterWorkloadPolicy too).
	Value any
}

// Parse reads one object. Its error wraps ErrSyntax, ErrUnknownKind, or joins one
// policy.FieldError for each thing that is wrong with the object.
func Parse(doc []byte) (*Object, error) {
	data, err := toJSON(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	k, err := kindOf(data)
	if err != nil {
		return nil, err
	}
	var c checker
	if !c.decode(nil, data, k.object) {
		return nil, errors.Join(c.errs...)
	}
	ref := c.meta(k)
	value := k.read(&c)
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	data, err = canonical(data, ref.Namespace)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return &Object{Ref: ref, JSON: data, Value: value}, nil
}

// canonical gives an object's JSON one form and fills in its namespace, if any.
func canonical(data []byte, namespace string) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // a float64 would round large integers
	var obj map[string]any
	if err := dec.Decode(&obj); err != nil {
		return nil, err
	}
	if meta, ok := obj["metadata"].(map[string]any); ok && namespace != "" {
		meta["namespace"] = namespace
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(obj); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}
