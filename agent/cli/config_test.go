// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const head = "apiVersion: sluice.dev/v1alpha1\nkind: AgentConfiguration\n"

func mustWrite(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAgentConfig(t *testing.T) {
	file := mustWrite(t, head+`
stateDir: /from/file
bpffs: /from/file
socket: /from/file
disable: [lsm, uprobe]
logLevel: warn
maps: {flows: 10, processes: 20, addresses: 30, prefixes: 40, edges: 50, ports: 60, permits: 70, fileRules: 80}
flowQuotas: {halfOpen: 1, open: 2, denied: 3}
timeouts: {tcp: {halfOpen: 1s, open: 2h, closing: 3s}, udp: {halfOpen: 4s, open: 5s}, other: 6s, denied: 7s}
`)
	t.Setenv("SLUICE_BPFFS", "/from/environment")
	t.Setenv("SLUICE_SOCKET", "/from/environment")
	t.Setenv("SLUICE_LOG_LEVEL", "debug")
	want := AgentConfig{
		Manifests: "/m", Socket: "/from/flag", BPFFS: "/from/environment", StateDir: "/from/file",
		NodeName: "n1", Disable: []string{"netfilter"}, LogLevel: slog.LevelDebug, LogFormat: "text", Version: "v1",
		Maps:       MapSizes{10, 20, 30, 40, 50, 60, 70, 80},
		FlowQuotas: FlowQuotas{1, 2, 3},
	}
	seconds := func(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }
	want.Timeouts.TCP.HalfOpen, want.Timeouts.TCP.Open, want.Timeouts.TCP.Closing = seconds(1), seconds(7200), seconds(3)
	want.Timeouts.UDP.HalfOpen, want.Timeouts.UDP.Open = seconds(4), seconds(5)
	want.Timeouts.Other, want.Timeouts.Denied = seconds(6), seconds(7)

	var got AgentConfig
	local := Local{Version: "v1", Agent: func(_ context.Context, cfg AgentConfig) error {
		got = cfg
		return nil
	}}
	code, _, stderr := sluice(t, local, "", "agent", "--config", file, "--socket", "/from/flag", "--manifests", "/m",
		"--disable", "netfilter", "--node-name", "n1")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestAgentDefaults(t *testing.T) {
	var got AgentConfig
	local := Local{Agent: func(_ context.Context, cfg AgentConfig) error {
		got = cfg
		return nil
	}}
	if code, _, stderr := sluice(t, local, "", "agent"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := AgentConfig{Socket: DefaultSocket, BPFFS: DefaultBPFFS, StateDir: DefaultStateDir, NodeName: host, LogFormat: "text"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestWrongConfig(t *testing.T) {
	tests := []struct{ content, args, want string }{
		{"kind: AgentConfiguration\n", "", "write kind: AgentConfiguration and apiVersion: sluice.dev/v1alpha1"},
		{head + "maps: {flow: 1}\n", "", `"maps.flow"`},
		{head + "Maps: {flows: 1}\n", "", `"Maps"`},
		{head + "maps: {flows: -1}\n", "", "flows"},
		{head + "maps: {flows: 1, flows: 2}\n", "", "flows"},
		{head + "timeouts: {other: 5}\n", "", "timeouts"},
		{head + "timeouts: {other: -5s}\n", "", "timeouts.other: -5s: must not be negative"},
		{head + "logFormat: xml\n", "", "write text or json"},
		{"{", "", "agent.yaml"},
		{head + "disable: [foo]\n", "", `"foo" is not an optional point`},
		{head, "--log-level loud", "loud"},
		{head, "--state-dir=", "--state-dir: must not be empty"},
	}
	for _, tt := range tests {
		args := append([]string{"agent", "--config", mustWrite(t, tt.content)}, strings.Fields(tt.args)...)
		code, _, stderr := sluice(t, Local{}, "", args...)
		if code != exitUsage || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q %s = %d\n%swant %d and %q", tt.content, tt.args, code, stderr, exitUsage, tt.want)
		}
	}
	t.Setenv("SLUICE_LOG_LEVEL", "loud")
	if code, _, stderr := sluice(t, Local{}, "", "agent"); code != exitUsage || !strings.Contains(stderr, "SLUICE_LOG_LEVEL") {
		t.Errorf("wrong environment = %d\n%s", code, stderr)
	}
}

func FuzzAgentConfiguration(f *testing.F) {
	f.Add([]byte(head + "maps: {flows: 10}\ntimeouts: {tcp: {open: 2h}}\ndisable: [lsm]\n"))
	f.Add([]byte(head + "logLevel: debug+2\nlogFormat: json\n"))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := AgentConfig{Socket: DefaultSocket, BPFFS: DefaultBPFFS, StateDir: DefaultStateDir, LogFormat: "text"}
		if cfg.parse(data) != nil || cfg.validate() != nil {
			return
		}
		if cfg.Socket == "" || cfg.BPFFS == "" || cfg.StateDir == "" || cfg.Timeouts.Other.Duration < 0 {
			t.Errorf("%q gives %+v", data, cfg)
		}
	})
}
