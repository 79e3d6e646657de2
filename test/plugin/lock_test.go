// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// A run that hangs with the lock must not hang the others.
func TestLockIsNotWaitedForForever(t *testing.T) {
	n := mustNode(t, harness.Config{})
	mustInstall(t, n, small)
	p := mustAdd(t, n, harness.PodSpec{})
	records, err := rpc.OpenAttachments(n.StateDir)
	must(t, err)
	unlock, err := records.Lock(t.Context())
	must(t, err)
	_, err = call(t, n, p, "ADD", map[string]any{"prevResult": p.Result, "timeout": "200ms"})
	if code(err) != 11 || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("ADD gave %v, want code 11 and who has the lock", err)
	}
	unlock()
	must(t, n.CheckPod(t.Context(), p))
}
