// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

func falls(to policy.Fallback, p *policy.WorkloadPolicy) *policy.WorkloadPolicy {
	p.Fallback = to
	return p
}

// TestWithoutLSM: a Deny that falls back to Kill is stronger than one that does not.
func TestWithoutLSM(t *testing.T) {
	sees := falls(policy.Observe, execs("a-sees", policy.Prevent))
	kills := falls(policy.FallbackKill, execs("kills", policy.Prevent, runs("/bin/pay")))
	reports := falls(policy.FallbackKill, execs("reports", policy.Report))
	act := policy.ExecAct{Program: ofImage("/bin/sh")}
	for name, tt := range map[string]struct {
		c    *policy.Cluster
		want Response
	}{
		"observed": {cluster(sees), response(policy.Prevent, sees, 0)},
		"killed":   {cluster(kills), response(policy.Kill, kills, 0)},
		"both":     {cluster(sees, kills), response(policy.Kill, kills, 0)},
		"reported": {cluster(reports), response(policy.Report, reports, 0)},
	} {
		before := Exec(tt.c, web, act)
		if diff := cmp.Diff(tt.want, Exec(WithoutLSM(tt.c), web, act)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		if after := Exec(tt.c, web, act); after != before {
			t.Errorf("%s: the cluster itself changed: %+v, %+v", name, before, after)
		}
	}

	p := falls(policy.FallbackKill, uses("p", policy.Prevent))
	p.Files = []policy.FileRule{{Paths: []string{"/a"}, Operations: policy.OpRead, Action: policy.Prevent}}
	c := WithoutLSM(cluster(p))
	if got, want := Capability(c, web, policy.CapabilityAct{}), response(policy.Kill, p, 0); got != want {
		t.Errorf("capability: %+v, want %+v", got, want)
	}
	if got, want := File(c, web, policy.FileAct{File: "/a", Operation: policy.OpRead}), response(policy.Kill, p, 0); got != want {
		t.Errorf("file: %+v, want %+v", got, want)
	}
}

func TestClosedBy(t *testing.T) {
	file := policy.FileRule{Paths: []string{"/a"}, Operations: policy.OpRead, Action: policy.Prevent}
	exec := falls(policy.Close, execs("exec", policy.Prevent))
	capability := falls(policy.Close, uses("capability", policy.Prevent))
	files := falls(policy.Close, guards("files", file))
	c := cluster(exec, capability, files,
		falls(policy.Close, execs("kill", policy.Kill)), falls(policy.Observe, execs("observe", policy.Prevent)),
		audited(falls(policy.Close, execs("audit", policy.Prevent))), falls(policy.Close, runtimeRules("nothing")))
	if got, want := ClosedBy(c, web), []policy.Ref{capability.Ref(), exec.Ref(), files.Ref()}; !slices.Equal(got, want) {
		t.Errorf("closed by %v, want %v", got, want)
	}
	if got := ClosedBy(c, db); len(got) > 0 {
		t.Errorf("%s is not selected, but closed by %v", db, got)
	}
}
