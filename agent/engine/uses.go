// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
)

// fileDetail says in words how a file was used.
func fileDetail(ev *state.RawActEvent) string {
	use := strings.Join(policy.Operations(1<<ev.What).Names(), "")
	return use + " of " + cmp.Or(text(ev.Object[:]), "a file without a path")
}

// fileRule describes a rule on files, and what of it this node does not see.
func (e *Engine) fileRule(p *policy.WorkloadPolicy, i int, r policy.FileRule) rpc.RuleStatus {
	var notes []string
	for _, path := range r.Paths {
		notes = append(notes, e.files.useStatus(path))
	}
	got, closes := e.dp.Gives().File(r.Action, p.Fallback)
	out := e.section("files", p, r.Action, got, closes, append(notes, e.statuses(r.Allow)...))
	out.Index = i
	unseen := r.Operations &^ e.dp.SeenUses()
	if unseen == 0 {
		return out
	}
	if unseen == r.Operations && out.Outcome != "audited" {
		out.Outcome = "observed"
	}
	names := strings.Join(unseen.Names(), " and ")
	if out.Reason == "" {
		out.Reason = fmt.Sprintf("this node does not see %s: %v", names, cmp.Or(e.dp.NoFiles(), e.dp.NoLSM()))
	} else {
		out.Reason += "; nor does it see " + names
	}
	return out
}
