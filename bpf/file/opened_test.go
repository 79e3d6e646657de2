// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/state"
)

func watched(t *testing.T) *bpftest.Ruled {
	t.Helper()
	r := bpftest.NewRuled(t, "root", process.Install, AttachOpened)
	r.Use(state.RawRuleset{Files: [2]uint32{bpftest.List}})
	return r
}

// notOpens are uses that no call opens.
var notOpens = []string{"read by io_uring", "mkdir", "mknod", "symlink", "bind"}

// TestOpened has files opened without BPF LSM. Who is killed has read and written
// nothing, but what it creates is there.
func TestOpened(t *testing.T) {
	r := watched(t)
	for i, use := range uses {
		if 1<<use.operation&Opened == 0 || slices.Contains(notOpens, use.name) {
			continue
		}
		t.Run(use.name, func(t *testing.T) {
			for name, tc := range map[string]struct{ action, outcome uint32 }{
				"no rule": {state.ActionIgnore, state.ActionIgnore},
				"Audit":   {state.ActionAudit, state.ActionAudit},
				"Observe": {state.ActionObserve, state.ActionObserve},
				"Deny":    {state.ActionDeny, state.ActionObserve},
				"Kill":    {state.ActionKill, state.ActionKill},
			} {
				r.Unguard(covered, use.operation)
				if tc.action != state.ActionIgnore {
					r.Guard(covered, use.operation, tc.action)
				}
				p := place(filepath.Join(r.Dir, use.name, name))
				must(t, p.fill())
				r.Folder(p.secret("")+"/", 0, covered)
				before := r.Acts(tc.outcome)
				cmd := r.Command(os.Args[0], string(p))
				cmd.Env = append(os.Environ(), useEnv+"="+strconv.Itoa(i))
				got, out := ending(t, cmd)
				got.done = use.done == nil && bytes.Contains(out, []byte(content)) || use.done != nil && use.done(p)
				kills := tc.action == state.ActionKill
				if want := (outcome{done: !kills || use.operation == state.OpCreate, killed: kills}); got != want {
					t.Errorf("%s: %+v, want %+v; %s", name, got, want, out)
				}
				if n, want := r.Acts(tc.outcome)-before, uint64(min(tc.outcome, 1)); n != want {
					t.Errorf("%s: counted %d times, want %d", name, n, want)
				}
			}
			r.Unguard(covered, use.operation)
		})
	}
}

// TestOpenedBypass plays the tricks without BPF LSM.
func TestOpenedBypass(t *testing.T) {
	bypass(t, watched(t), state.ActionKill, func(i int) bool { return tricks[i].open || tricks[i].away })
}
