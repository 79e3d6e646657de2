// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-io/sluice/agent/rpc"
)

func fill(l *Log[int], from, to int) {
	for i := from; i < to; i++ {
		l.Add(i)
	}
}

func upTo(from, to int) []int {
	var list []int
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func TestLogIsBounded(t *testing.T) {
	for _, n := range []int{0, 1, 3, 4, 5, 11} {
		l := NewLog[int](4)
		fill(l, 0, n)
		if got, want := l.Entries(), upTo(max(0, n-4), n); !slices.Equal(got, want) {
			t.Errorf("after %d: %v, want %v", n, got, want)
		}
	}
}

func TestFollow(t *testing.T) {
	l := NewLog[int](4)
	fill(l, 0, 6)
	history, c := l.Follow()
	if want := upTo(2, 6); !slices.Equal(history, want) {
		t.Errorf("history = %v, want %v", history, want)
	}
	go l.Add(6) // wakes Next, or is there already
	got, lost, err := c.Next(t.Context())
	if err != nil || lost != 0 || !slices.Equal(got, []int{6}) {
		t.Errorf("Next = %v, %d, %v, want [6], 0, nil", got, lost, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with nothing to read: %v, want Canceled", err)
	}
}

func TestSlowFollowerIsTold(t *testing.T) {
	l := NewLog[int](4)
	_, slow := l.Follow()
	_, quick := l.Follow()
	fill(l, 0, 4)
	if got, lost, _ := quick.Next(t.Context()); lost != 0 || !slices.Equal(got, upTo(0, 4)) {
		t.Errorf("quick: %v, lost %d, want all", got, lost)
	}
	fill(l, 4, 7)
	if got, lost, _ := slow.Next(t.Context()); lost != 3 || !slices.Equal(got, upTo(3, 7)) {
		t.Errorf("slow: %v, lost %d, want 3..6, lost 3", got, lost)
	}
	if l.Lost() != 3 {
		t.Errorf("lost in sum = %d, want 3", l.Lost())
	}
}

func TestFollowerSeesAll(t *testing.T) {
	const n = 10000
	l := NewLog[int](2 * n)
	_, c := l.Follow()
	go fill(l, 0, n)
	var got []int
	for len(got) < n {
		batch, lost, err := c.Next(t.Context())
		if err != nil || lost != 0 || len(batch) > batchSize {
			t.Fatalf("batch of %d, lost %d, %v", len(batch), lost, err)
		}
		got = append(got, batch...)
	}
	if !slices.Equal(got, upTo(0, n)) {
		t.Error("entries are missing or out of order")
	}
}

func TestFilter(t *testing.T) {
	now := time.Unix(1000, 0)
	flow := rpc.Flow{Time: now, Pod: rpc.PodRef{Namespace: "a", Name: "x"}, Verdict: "denied"}
	event := rpc.Event{Time: now, Pod: flow.Pod, Type: "exec", Outcome: "killed",
		Rule: &rpc.Rule{Kind: "WorkloadPolicy", Namespace: "a", Name: "p", Index: 2}}
	rule := func(s string) Rule {
		r, ok := ParseRule(s)
		if !ok {
			t.Errorf("rule %q is refused", s)
		}
		return r
	}
	tests := []struct {
		filter      Filter
		flow, event bool
	}{
		{Filter{}, true, true},
		{Filter{Pod: flow.Pod}, true, true},
		{Filter{Pod: rpc.PodRef{Namespace: "b", Name: "x"}}, false, false},
		{Filter{Since: now}, true, true},
		{Filter{Since: now.Add(1)}, false, false},
		{Filter{Verdict: "denied"}, true, true},
		{Filter{Verdict: "allowed"}, false, true},
		{Filter{Type: "exec", Outcome: "killed"}, true, true},
		{Filter{Type: "exit"}, true, false},
		{Filter{Outcome: "observed"}, true, false},
		{Filter{Rule: rule("p")}, true, true},
		{Filter{Rule: rule("a/p")}, true, true},
		{Filter{Rule: rule("WorkloadPolicy/a/p[2]")}, true, true},
		{Filter{Rule: rule("p[2]")}, true, true},
		{Filter{Rule: rule("p[1]")}, true, false},
		{Filter{Rule: rule("b/p")}, true, false},
		{Filter{Rule: rule("-/p")}, true, false},
		{Filter{Rule: rule("ClusterWorkloadPolicy/a/p")}, true, false},
		{Filter{Rule: rule("q")}, true, false},
	}
	for _, tt := range tests {
		if got := tt.filter.Flow(&flow); got != tt.flow {
			t.Errorf("%+v chooses the flow: %t, want %t", tt.filter, got, tt.flow)
		}
		if got := tt.filter.Event(&event); got != tt.event {
			t.Errorf("%+v chooses the event: %t, want %t", tt.filter, got, tt.event)
		}
	}
}

func TestRuleRefused(t *testing.T) {
	for _, s := range []string{"", "/", "a/", "a/b/c/d", "p[", "p[]", "p[-1]", "p[1", "p[x]", "p[1]x", "[1]"} {
		if r, ok := ParseRule(s); ok {
			t.Errorf("%q is taken for %+v", s, r)
		}
	}
	none := rpc.Event{}
	if f := (Filter{Rule: Rule{name: "p", index: -1}}); f.Event(&none) {
		t.Error("an event of no rule is chosen by a rule")
	}
}

func TestMerge(t *testing.T) {
	at := func(id string, second int64, phase string) rpc.Flow {
		return rpc.Flow{ID: id, Time: time.Unix(second, 0), Phase: phase}
	}
	got := Merge([]rpc.Flow{
		at("a", 5, "update"), at("b", 2, "update"), at("c", 9, "update"),
		at("a", 6, "new"), at("b", 2, "closed"), at("d", 3, "denied"), at("d", 1, "denied"),
	})
	want := []rpc.Flow{at("b", 2, "closed"), at("d", 3, "denied"), at("a", 5, "update"), at("c", 9, "update")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
}
