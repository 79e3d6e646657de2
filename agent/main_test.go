// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/bpftest"
)

// mainEnv makes the test binary the sluice command.
const mainEnv = "SLUICE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// sluice prepares one run of the command.
func sluice(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	return cmd
}

// refused runs a command that must fail with a code and say something.
func refused(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := sluice(ctx, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != code || !strings.Contains(string(out), says) {
		t.Errorf("%v: %v: %s, want exit code %d and %q", args, err, out, code, says)
	}
}

// instance is where an agent of a test lives.
type instance struct{ dir, bpffs string }

func (i instance) roots() []string {
	return []string{"--socket", filepath.Join(i.dir, "sock"), "--bpffs", i.bpffs, "--state-dir", filepath.Join(i.dir, "state")}
}

func (i instance) agent(more ...string) []string {
	return append(append([]string{"agent"}, i.roots()...), more...)
}

// start runs an agent until the test ends, and gives what it says then.
func (i instance) start(t *testing.T, more ...string) (stop func() string) {
	t.Helper()
	var said bytes.Buffer
	cmd := sluice(context.WithoutCancel(t.Context()), i.agent(more...)...)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() string {
		if !stopped {
			stopped = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
		return said.String()
	}
	t.Cleanup(func() { stop() })
	client := rpc.Dial(filepath.Join(i.dir, "sock"))
	for deadline := time.Now().Add(30 * time.Second); client.Ready(t.Context()) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the agent is not ready: %s", stop())
		}
	}
	return stop
}

// Who has another's state folder or pins would take its pods for dead.
func TestOneAgentAnInstance(t *testing.T) {
	bpftest.Netns(t)
	one := instance{t.TempDir(), string(bpftest.Dir(t))}
	stop := one.start(t)
	other := instance{t.TempDir(), one.bpffs}
	refused(t, 1, "give this one its own --bpffs", other.agent()...)
	same := append(one.agent(), "--socket", filepath.Join(other.dir, "sock"), "--bpffs", other.bpffs+"2")
	refused(t, 1, "give this one its own --state-dir", same...)
	for says, args := range map[string][]string{
		"an agent answers":             one.roots(),
		"an agent runs with the state": append(one.roots(), "--socket", "/nowhere", "--bpffs", "/nowhere"),
		"an agent has its pins in":     append(one.roots(), "--socket", "/nowhere", "--state-dir", "/nowhere"),
	} {
		refused(t, 1, says, append([]string{"uninstall"}, args...)...)
	}
	stop()
	if out, err := sluice(t.Context(), append([]string{"uninstall"}, one.roots()...)...).CombinedOutput(); err != nil {
		t.Errorf("uninstall after the agent: %v: %s", err, out)
	}
	for _, path := range []string{one.bpffs, filepath.Join(one.dir, "state")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left behind", path)
		}
	}
}

func TestAgentSaysWhatIsOdd(t *testing.T) {
	bpftest.Netns(t)
	i := instance{t.TempDir(), string(bpftest.Dir(t))}
	refused(t, 1, "is not on cgroup v2", i.agent("--cgroup-root", i.dir)...)
	config := filepath.Join(i.dir, "agent.yaml")
	const head = "apiVersion: sluice.dev/v1alpha1\nkind: AgentConfiguration\n"
	for _, maps := range []string{"maps: {flows: 1024, processes: 512}\n", "maps: {flows: 2048, processes: 512}\n"} {
		if err := os.WriteFile(config, []byte(head+maps), 0o600); err != nil {
			t.Fatal(err)
		}
		said := i.start(t, "--config", config, "--manifests", filepath.Join(i.dir, "none"))()
		differs := strings.Contains(said, "field=maps.flows wanted=2048 pinned=1024") && strings.Contains(said, "sluice uninstall")
		if differs != strings.Contains(maps, "2048") || strings.Contains(said, "maps.processes") {
			t.Errorf("with %sit said:\n%s", maps, said)
		}
		if strings.Count(said, "not in force") != 1 || !strings.Contains(said, "no such file") {
			t.Errorf("a missing folder of manifests is not logged once:\n%s", said)
		}
	}
	if out, err := sluice(t.Context(), append([]string{"uninstall"}, i.roots()...)...).CombinedOutput(); err != nil {
		t.Errorf("uninstall: %v: %s", err, out)
	}
}

// In another pid namespace every process of a pod would seem to be gone.
func TestNeedsThePIDNamespace(t *testing.T) {
	i := instance{t.TempDir(), string(bpftest.Dir(t))}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for says, args := range map[string][]string{"hostPID": i.agent(), "below the floor": {"doctor"}} {
		cmd := sluice(ctx, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), says) || !strings.Contains(string(out), "pid namespace") {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
}

func TestNeedsRoot(t *testing.T) {
	for _, command := range []string{"demo", "doctor"} {
		cmd := sluice(t.Context(), command)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		if want := "sluice: " + command + " needs root"; cmd.ProcessState.ExitCode() != 1 || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: %v: %q, want %q", command, err, out, want)
		}
	}
}
