// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/agent/journal"
	"github.com/sluice-io/sluice/agent/rpc"
)

const jsonLines = "application/jsonl"

// query is what a list request asks for.
type query struct {
	journal.Filter
	follow bool
	limit  int // of the past; 0: all of it
}

// parseQuery refuses parameters that the list does not have: a filter that is
// ignored would show too much.
func parseQuery(values url.Values, known ...string) (*query, error) {
	q := new(query)
	for name, all := range values {
		value := all[0]
		wrong := func(reason string) error {
			return &requestError{http.StatusBadRequest, rpc.Error{
				Message: fmt.Sprintf("parameter %s: %q: %s", name, value, reason), Field: name, Value: value}}
		}
		switch {
		case len(known) == 0:
			return nil, wrong("not known here: there are none")
		case !slices.Contains(known, name):
			return nil, wrong("not known here; use " + strings.Join(known, ", "))
		case len(all) > 1:
			return nil, wrong("given more than once")
		}
		if reason := q.set(name, value); reason != "" {
			return nil, wrong(reason)
		}
	}
	return q, nil
}

// set returns what is wrong with a value.
func (q *query) set(name, value string) string {
	oneOf := func(to *string, allowed ...string) string {
		if *to = value; !slices.Contains(allowed, value) {
			return "write one of " + strings.Join(allowed, ", ")
		}
		return ""
	}
	var err error
	switch name {
	case "follow":
		if q.follow, err = strconv.ParseBool(value); err != nil {
			return "write true or false"
		}
	case "limit":
		if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 0 {
			return "write a number of entries"
		}
	case "since":
		if q.Since, err = parseSince(value, time.Now()); err != nil {
			return "write a duration such as 10m or a time such as 2006-01-02T15:04:05Z"
		}
	case "pod":
		namespace, name, ok := strings.Cut(value, "/")
		if !ok || namespace == "" || name == "" {
			return "write NAMESPACE/NAME"
		}
		q.Pod = rpc.PodRef{Namespace: namespace, Name: name}
	case "verdict":
		return oneOf(&q.Verdict, "allowed", "denied", "audit-denied")
	case "outcome":
		return oneOf(&q.Outcome, "denied", "killed", "observed", "audited")
	case "rule":
		var ok bool
		if q.Rule, ok = journal.ParseRule(value); !ok {
			return "write KIND/NAMESPACE/NAME[INDEX], NAMESPACE/NAME or NAME"
		}
	case "type":
		q.Type = value
	}
	return ""
}

func parseSince(value string, now time.Time) (time.Time, error) {
	if back, err := time.ParseDuration(value); err == nil {
		return now.Add(-back), nil
	}
	return time.Parse(time.RFC3339, value)
}

func (s *Server) flows(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query(), "follow", "pod", "verdict", "since", "limit")
	if err != nil {
		return err
	}
	// The table before the journal: a flow that ends in between is shown as closed.
	live := s.Backend.Flows()
	history, cursor := s.Journal.Flows.Follow()
	past := last(journal.Merge(append(live, history...)), q.Filter.Flow, q.limit)
	if q.follow {
		return follow(w, r, past, cursor, q.Filter.Flow)
	}
	return answerLines(w, http.StatusOK, past, jsonLines)
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query(), "follow", "pod", "type", "outcome", "rule", "since", "limit")
	if err != nil {
		return err
	}
	if q.follow && q.Type != "" {
		defer s.Backend.Subscribe(q.Pod, q.Type)()
	}
	history, cursor := s.Journal.Events.Follow()
	past := last(history, q.Filter.Event, q.limit)
	if q.follow {
		return follow(w, r, past, cursor, q.Filter.Event)
	}
	return answerLines(w, http.StatusOK, past, jsonLines)
}

// last returns the newest of the entries that are chosen, oldest first.
func last[T any](entries []T, chosen func(*T) bool, limit int) []T {
	entries = slices.DeleteFunc(entries, func(e T) bool { return !chosen(&e) })
	if limit > 0 && len(entries) > limit {
		entries = entries[len(entries)-limit:]
	}
	return entries
}

// follow writes past and then what comes, until the client or the agent goes.
func follow[T any](w http.ResponseWriter, r *http.Request, past []T, cursor *journal.Cursor[T], chosen func(*T) bool) error {
	w.Header().Set("Content-Type", jsonLines)
	w.WriteHeader(http.StatusOK)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	out := http.NewResponseController(w)
	for entries, lost := past, uint64(0); ; {
		if lost > 0 {
			if enc.Encode(rpc.Lost{Lost: lost}) != nil {
				return nil
			}
		}
		for i := range entries {
			if enc.Encode(&entries[i]) != nil {
				return nil
			}
		}
		if out.Flush() != nil {
			return nil
		}
		var err error
		if entries, lost, err = cursor.Next(r.Context()); err != nil {
			return nil
		}
		entries = last(entries, chosen, 0)
	}
}
