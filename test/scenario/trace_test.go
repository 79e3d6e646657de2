// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"strings"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// TestTrace asks a real agent what it would say, and wants the kernel to say the same.
func TestTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "tcp", 80)
	w.serve(server, "tcp", 81)
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{podSelector: {matchLabels: {app: server}}}], ports: [{port: 80}]}]}`)
	for port, want := range map[string]struct {
		exit, probe int
		says        string
	}{
		"80": {0, ok, "allowed by NetworkPolicy/shop/p[0]"},
		"81": {10, silence, "no NetworkPolicy allows it"},
	} {
		cmd := w.node.Command(t.Context(), built.agent, "policy", "trace", "--socket", w.node.Socket,
			"--from", "shop/client", "--to", "shop/server", "--port", port+"/TCP")
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want.exit || !strings.Contains(string(out), want.says) {
			t.Errorf("trace to %s ended with %d, want %d and %q:\n%s", port, got, want.exit, want.says, out)
		}
		w.expect(want.probe, client, "dial", "tcp", server.IPv4().String()+":"+port)
	}
}
