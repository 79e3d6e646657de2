// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy"
)

func (s *Server) pods(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query(), "pod")
	if err != nil {
		return err
	}
	pods := last(slices.Clone(s.Backend.Pods()), func(p *rpc.Pod) bool {
		return q.Pod == rpc.PodRef{} || q.Pod == rpc.PodRef{Namespace: p.Namespace, Name: p.Name}
	}, 0)
	slices.SortFunc(pods, func(a, b rpc.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for i := range pods {
		p := &pods[i]
		p.IPs, p.Policies = notNull(p.IPs), notNull(p.Policies)
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
	}
	return answerLines(w, http.StatusOK, pods, jsonLines)
}

func (s *Server) processes(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query(), "pod")
	if err != nil {
		return err
	}
	here := func(p rpc.Pod) bool { return q.Pod == rpc.PodRef{Namespace: p.Namespace, Name: p.Name} }
	if (q.Pod != rpc.PodRef{}) && !slices.ContainsFunc(s.Backend.Pods(), here) {
		return &requestError{http.StatusNotFound,
			rpc.Error{Message: "no pod " + q.Pod.Namespace + "/" + q.Pod.Name + " on this node", Field: "pod", Value: r.URL.Query().Get("pod")}}
	}
	list, err := s.Backend.Processes(q.Pod)
	if err != nil {
		return err
	}
	return answerLines(w, http.StatusOK, list, jsonLines)
}

// notNull makes an empty list [] in JSON.
func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	st := s.Backend.Status()
	st.Policies, st.Maps = slices.Clone(notNull(st.Policies)), notNull(st.Maps)
	for i := range st.Policies {
		st.Policies[i].Rules = notNull(st.Policies[i].Rules)
	}
	if st.Pods == nil {
		st.Pods = map[string]int{}
	}
	if st.Lost == nil {
		st.Lost = map[string]uint64{}
	}
	for _, p := range s.Store.Problems() {
		st.Problems = append(st.Problems, p.String())
	}
	return answer(w, http.StatusOK, st)
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	return answer(w, http.StatusOK, map[string]bool{"healthy": true})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if !s.Backend.Ready() {
		return &requestError{http.StatusServiceUnavailable,
			rpc.Error{Message: "not ready: pods that were there before the agent are not all realised; see sluice status"}}
	}
	return answer(w, http.StatusOK, map[string]bool{"ready": true})
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) error {
	var a rpc.Attachment
	if err := decode(w, r, &a); err != nil {
		return err
	}
	if err := required("namespace", a.Namespace, "name", a.Name, "containerID", a.ContainerID, "ifName", a.IfName); err != nil {
		return err
	}
	reply, err := s.Backend.Attach(r.Context(), a)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, reply)
}

func (s *Server) detach(w http.ResponseWriter, r *http.Request) error {
	var d rpc.Detachment
	if err := decode(w, r, &d); err != nil {
		return err
	}
	if err := required("containerID", d.ContainerID, "ifName", d.IfName); err != nil {
		return err
	}
	if err := s.Backend.Detach(r.Context(), d.ContainerID, d.IfName); err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct{}{})
}

// decode reads what the plugin sent. Fields of a newer plugin are ignored.
func decode(w http.ResponseWriter, r *http.Request, to any) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, to); err != nil {
		return &requestError{http.StatusBadRequest, rpc.Error{Message: "decode body: " + err.Error()}}
	}
	return nil
}

// required takes fields and their values in turn.
func required(pairs ...string) error {
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] == "" {
			return &policy.FieldError{Field: pair[0], Reason: "required"}
		}
	}
	return nil
}
