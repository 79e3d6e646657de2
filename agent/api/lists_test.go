// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/agent/rpc"
)

func flow(id, phase, verdict, pod string, second int64) rpc.Flow {
	return rpc.Flow{ID: id, Phase: phase, Verdict: verdict, Time: time.Unix(second, 0).UTC(),
		Pod: rpc.PodRef{Namespace: "shop", Name: pod}}
}

// flowsOf returns "id phase" of each flow.
func (a *agent) flowsOf(t *testing.T, q rpc.Query) []string {
	t.Helper()
	var got []string
	err := a.client.Flows(t.Context(), q, func(f rpc.Flow) error {
		got = append(got, f.ID+" "+f.Phase)
		return nil
	}, nil)
	if err != nil {
		t.Error(err)
	}
	return got
}

func TestFlows(t *testing.T) {
	a := mustServe(t, nil)
	a.backend.flows = []rpc.Flow{flow("1", "update", "allowed", "a", 50), flow("3", "denied", "denied", "b", 30)}
	for _, f := range []rpc.Flow{flow("1", "new", "allowed", "a", 10), flow("2", "new", "allowed", "a", 15),
		flow("2", "closed", "allowed", "a", 20), flow("3", "denied", "denied", "b", 25)} {
		a.journal.Flows.Add(f)
	}
	tests := []struct {
		query rpc.Query
		want  []string
	}{
		{rpc.Query{}, []string{"2 closed", "3 denied", "1 update"}},
		{rpc.Query{Pod: "shop/a"}, []string{"2 closed", "1 update"}},
		{rpc.Query{Verdict: "denied"}, []string{"3 denied"}},
		{rpc.Query{Limit: 1}, []string{"1 update"}},
		{rpc.Query{Since: time.Unix(30, 0).UTC().Format(time.RFC3339)}, []string{"3 denied", "1 update"}},
		{rpc.Query{Since: "10m"}, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, a.flowsOf(t, tt.query)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.query, diff)
		}
	}
}

func TestFollow(t *testing.T) {
	a := mustServe(t, nil)
	a.backend.flows = []rpc.Flow{flow("live", "update", "allowed", "a", 1)}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string)
	done := make(chan error)
	go func() {
		done <- a.client.Flows(ctx, rpc.Query{Follow: true, Verdict: "allowed"}, func(f rpc.Flow) error {
			got <- f.ID
			return nil
		}, nil)
	}()
	if id := <-got; id != "live" {
		t.Errorf("first = %q, want live", id)
	}
	a.journal.Flows.Add(flow("denied", "denied", "denied", "a", 2))
	a.journal.Flows.Add(flow("next", "new", "allowed", "a", 3))
	if id := <-got; id != "next" {
		t.Errorf("second = %q, want next", id)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

func TestSlowFollowerIsTold(t *testing.T) {
	a := mustServe(t, nil)
	stop := errors.New("stop")
	blocked, release := make(chan bool, 1), make(chan bool)
	var lost uint64
	a.journal.Events.Add(rpc.Event{Type: "first"})
	done := make(chan error)
	go func() {
		first := true
		done <- a.client.Events(t.Context(), rpc.Query{Follow: true}, func(e rpc.Event) error {
			if first {
				first = false
				blocked <- true
				<-release
			}
			if e.Type == "last" {
				return stop
			}
			return nil
		}, func(n uint64) { lost += n })
	}()
	<-blocked
	const n = 100000 // more than journal and socket buffers hold
	for i := range n {
		a.journal.Events.Add(rpc.Event{Type: "exec", Detail: fmt.Sprint(i)})
	}
	a.journal.Events.Add(rpc.Event{Type: "last"})
	close(release)
	if err := <-done; !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if lost == 0 || lost != a.journal.Events.Lost() {
		t.Errorf("told of %d lost, journal counts %d", lost, a.journal.Events.Lost())
	}
}

func TestPods(t *testing.T) {
	a := mustServe(t, nil)
	a.backend.pods = []rpc.Pod{
		{Namespace: "shop", Name: "b", State: "closed"},
		{Namespace: "shop", Name: "a", State: "enforced", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
	}
	pods, err := a.client.Pods(t.Context())
	if err != nil || len(pods) != 2 || pods[0].Name != "a" {
		t.Fatalf("pods = %v, %v", pods, err)
	}
	_, got := a.ask(t, "GET", "/v1/pods?pod=shop/b", "")
	want := `{"namespace":"shop","name":"b","uid":"","ips":[],"cgroup":"","labels":{},"state":"closed","policies":[]}` + "\n"
	if got != want {
		t.Errorf("pods = %s, want %s", got, want)
	}
}

func TestProcesses(t *testing.T) {
	a := mustServe(t, nil)
	a.backend.pods = []rpc.Pod{{Namespace: "shop", Name: "a"}}
	a.backend.processes = []rpc.Running{{Pod: rpc.PodRef{Namespace: "shop", Name: "a"}, Process: rpc.Process{Path: "/bin/x", PID: 7}}}
	for _, pod := range []string{"", "shop/a"} {
		list, err := a.client.Processes(t.Context(), pod)
		if err != nil || len(list) != 1 || list[0].Process.PID != 7 {
			t.Errorf("of %q: %+v, %v", pod, list, err)
		}
	}
	var refused *rpc.StatusError
	if _, err := a.client.Processes(t.Context(), "shop/b"); !errors.As(err, &refused) || refused.Code != 404 {
		t.Errorf("of a pod that is not here: %v, want 404", err)
	}
}

// Who follows a type of events has them told for as long.
func TestFollowerSubscribes(t *testing.T) {
	a := mustServe(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- a.client.Events(ctx, rpc.Query{Follow: true, Type: "fork", Pod: "shop/a"}, func(rpc.Event) error { return nil }, nil)
	}()
	wait := func(want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			a.backend.mu.Lock()
			got := a.backend.subscribed
			a.backend.mu.Unlock()
			if got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("subscribed to %q, want %q", got, want)
			}
		}
	}
	wait("shop/a fork")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	wait("")
}

func FuzzParseQuery(f *testing.F) {
	f.Add("follow=true&pod=shop/a&verdict=denied&since=10m&limit=3")
	f.Add("since=2006-01-02T15:04:05Z&type=exec&outcome=killed")
	f.Add("limit=-1&limit=&pod=/&x")
	f.Add("rule=WorkloadPolicy/a/p[1]")
	known := []string{"follow", "pod", "verdict", "since", "limit", "type", "outcome", "rule"}
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := parseQuery(values, known...)
		var refused *requestError
		if err != nil && (!errors.As(err, &refused) || refused.code != 400 || !values.Has(refused.body.Field)) {
			t.Errorf("%q: %v, want a 400 that names the parameter", raw, err)
		}
		if err == nil && (q.limit < 0 || (q.Pod.Name == "") != (q.Pod.Namespace == "")) {
			t.Errorf("%q gives %+v", raw, q)
		}
	})
}
