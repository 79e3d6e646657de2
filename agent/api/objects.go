// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/sluice-io/sluice/agent/store"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

// refOf reads the object that a URL names. Its error wraps ErrUnknownKind.
func refOf(r *http.Request) (policy.Ref, error) {
	ref := policy.Ref{Kind: policy.Kind(r.PathValue("kind")), Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	if ref.Namespace == "-" {
		ref.Namespace = ""
	}
	switch ref.Kind {
	case policy.KindNamespace, policy.KindPod, policy.KindNode, policy.KindService, policy.KindEndpointSlice,
		policy.KindNetworkPolicy, policy.KindClusterNetworkPolicy,
		policy.KindWorkloadPolicy, policy.KindClusterWorkloadPolicy:
		return ref, nil
	}
	return ref, fmt.Errorf("%w: %w", manifest.ErrUnknownKind, &policy.FieldError{
		Field: "kind", Value: string(ref.Kind), Reason: "not a kind that Sluice reads; write it exactly, as in NetworkPolicy"})
}

func (s *Server) putObject(w http.ResponseWriter, r *http.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	obj, err := manifest.Parse(body)
	if err != nil {
		return err
	}
	if err := agree(obj.Ref, ref); err != nil {
		return err
	}
	change, err := s.Store.Put(obj)
	if err != nil {
		return err
	}
	return s.enforce(w, r, change)
}

// agree checks an object's name against that of its URL.
func agree(body, url policy.Ref) error {
	differs := func(field, body, url string) error {
		if body == url {
			return nil
		}
		return &policy.FieldError{Field: field, Value: body, Reason: fmt.Sprintf("the URL says %q; write the same in both", url)}
	}
	return errors.Join(
		differs("kind", string(body.Kind), string(url.Kind)),
		differs("metadata.namespace", body.Namespace, url.Namespace),
		differs("metadata.name", body.Name, url.Name),
	)
}

func (s *Server) deleteObject(w http.ResponseWriter, r *http.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	change, err := s.Store.Delete(ref)
	if err != nil {
		return err
	}
	return s.enforce(w, r, change)
}

// enforce puts a change in force and then on disk. A client that hangs up does
// not stop it half way.
func (s *Server) enforce(w http.ResponseWriter, r *http.Request, change *store.Change) error {
	defer change.Rollback()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), applyTimeout)
	defer cancel()
	reply, err := s.Backend.Apply(ctx, change.Cluster())
	if err != nil {
		return err
	}
	if err := change.Commit(); err != nil {
		_, back := s.Backend.Apply(ctx, s.Store.Cluster())
		return errors.Join(err, back)
	}
	return answer(w, http.StatusOK, reply)
}

func (s *Server) getObject(w http.ResponseWriter, r *http.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	obj, err := s.Store.Get(ref)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, json.RawMessage(obj.JSON))
}

func (s *Server) listObjects(w http.ResponseWriter, r *http.Request) error {
	if _, err := parseQuery(r.URL.Query()); err != nil {
		return err
	}
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	list := struct {
		Items []json.RawMessage `json:"items"`
	}{[]json.RawMessage{}}
	for _, obj := range s.Store.List(ref.Kind, ref.Namespace) {
		list.Items = append(list.Items, obj.JSON)
	}
	return answer(w, http.StatusOK, list)
}
