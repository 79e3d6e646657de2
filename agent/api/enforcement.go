// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
)

// putEnforcement switches enforcement off for a time, or on.
func (s *Server) putEnforcement(w http.ResponseWriter, r *http.Request) error {
	var in rpc.Enforcement
	if err := decode(w, r, &in); err != nil {
		return err
	}
	span := time.Duration(0)
	if in.Off {
		var err error
		if span, err = time.ParseDuration(in.For); err != nil || span <= 0 || span > rpc.MaxOff {
			return &requestError{http.StatusUnprocessableEntity, rpc.Error{
				Message: "for: write a duration above 0 and up to " + rpc.MaxOff.String() + ", such as 10m", Field: "for", Value: in.For}}
		}
	}
	if err := s.Backend.Spare(span); err != nil {
		return err
	}
	return s.getEnforcement(w, r)
}

func (s *Server) getEnforcement(w http.ResponseWriter, _ *http.Request) error {
	left, err := s.Backend.Spared()
	if err != nil {
		return err
	}
	out := rpc.Enforcement{Off: left > 0}
	if out.Off {
		out.For = left.Round(time.Second).String()
	}
	return answer(w, http.StatusOK, out)
}
