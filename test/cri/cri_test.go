// SPDX-License-Identifier: Apache-2.0

// Package cri runs the gate under a real container runtime: pods made by
// containerd and runc over CRI, in a node of their own.
package cri

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// deadline bounds what must come about soon, such as an event's arrival.
const deadline = 5 * time.Second

// suite is a node with containerd and an agent, and how its pods are made.
type suite struct {
	node    *harness.Node
	runtime *containerd
	agent   *harness.Agent
	program string // sluice
	// cgroupGiven: a pod's cgroup is there before its sandbox and the runtime is
	// told, as the kubelet does. Otherwise the kernel alone can tell what is whose.
	cgroupGiven bool
}

func TestCRI(t *testing.T) {
	require(t)
	s := newSuite(t)
	for _, mode := range []struct {
		name  string
		given bool
	}{{"given", true}, {"late", false}} {
		s.cgroupGiven = mode.given
		t.Run(mode.name, func(t *testing.T) {
			for _, test := range []struct {
				name string
				run  func(*testing.T, string)
			}{
				{"identity", s.testIdentity},
				{"network", s.testNetwork},
				{"process", s.testProcess},
				{"impostors", s.testImpostors},
				{"tampered", s.testTampered},
				{"drift", s.testDrift},
				{"starts", s.testStarts},
				{"privileges", s.testPrivileges},
				{"restart", s.testRestart},
				{"away", s.testAway},
			} {
				t.Run(test.name, func(t *testing.T) { test.run(t, mode.name+"-"+test.name) })
			}
		})
		s.wantEmpty(t)
	}
}

// require skips the test where there is no container runtime, or fails it where
// REQUIRE names cri.
func require(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where Debian has runc
	why := ""
	if os.Geteuid() != 0 {
		why = "needs root"
	}
	for _, program := range []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			why = "needs containerd, runc and busybox-static: " + err.Error()
		}
	}
	switch {
	case why == "":
	case slices.Contains(strings.FieldsFunc(os.Getenv("REQUIRE"), func(r rune) bool { return r == ',' || r == ' ' }), "cri"):
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	plugins := filepath.Join(dir, "plugins")
	s := new(suite)
	var err error
	s.program, err = harness.BuildAgent(ctx, dir)
	check(t, err)
	check(t, harness.BuildPlugins(ctx, plugins))
	box, err := exec.LookPath("busybox")
	check(t, err)
	probe, err := harness.BuildProbe(ctx, dir)
	check(t, err)
	imageTar := filepath.Join(dir, "image.tar")
	check(t, writeImage(imageTar, box, probe))
	// containerd 1.6 knows no version of the specification above 1.0.0.
	s.node, err = harness.NewNode(harness.Config{CNIPath: []string{plugins}, Agent: s.program, CNIVersion: "1.0.0"})
	check(t, err)
	t.Cleanup(func() { report(t, s.node.Close()) })
	s.runtime, err = startContainerd(ctx, s.node, plugins, imageTar)
	check(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			s.showLogs(t)
		}
		report(t, s.runtime.close())
	})
	s.startAgent(t)
	return s
}

func (s *suite) startAgent(t *testing.T) {
	t.Helper()
	check(t, s.runAgent(t.Context()))
}

func (s *suite) runAgent(ctx context.Context) (err error) {
	s.agent, err = s.node.StartAgent(ctx, "--cgroup-root", s.runtime.cgroups)
	return err
}

// killAgent kills the agent until startAgent, or the end of the test.
func (s *suite) killAgent(t *testing.T) {
	t.Helper()
	check(t, s.agent.Kill9())
	t.Cleanup(func() {
		if s.agent == nil || isClosed(s.agent.Done()) {
			report(t, s.runAgent(context.WithoutCancel(t.Context())))
		}
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// put makes an object for the time of the test.
func (s *suite) put(t *testing.T, kind, namespace, name, object string) {
	t.Helper()
	reply, err := s.node.Client().Put(t.Context(), kind, namespace, name, []byte(object))
	if err != nil {
		t.Fatalf("put %s %s/%s: %v", kind, namespace, name, err)
	}
	if reply.State != "enforced" {
		t.Errorf("%s %s/%s is %s", kind, namespace, name, reply.State)
	}
	t.Cleanup(func() {
		_, err := s.node.Client().Delete(context.WithoutCancel(t.Context()), kind, namespace, name)
		report(t, err)
	})
}

// wantEmpty looks for what pods that are gone left behind.
func (s *suite) wantEmpty(t *testing.T) {
	t.Helper()
	pods, err := s.node.Client().Pods(t.Context())
	check(t, err)
	if len(pods) != 0 {
		t.Errorf("pods that are gone are shown: %+v", pods)
	}
	for _, pattern := range []string{filepath.Join(s.node.Bpffs, "pods", "*"), filepath.Join(s.node.StateDir, "pods", "*.json")} {
		left, err := filepath.Glob(pattern)
		check(t, err)
		if len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// events are the pod's events of a type so far.
func (p *pod) events(t *testing.T, kind string) []rpc.Event {
	t.Helper()
	var all []rpc.Event
	err := p.s.node.Client().Events(t.Context(), rpc.Query{Pod: p.namespace + "/" + p.name, Type: kind},
		func(e rpc.Event) error { all = append(all, e); return nil }, nil)
	check(t, err)
	return all
}

// eventually waits until there is no error.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v", what, deadline, err)
		}
	}
}

func (s *suite) showLogs(t *testing.T) {
	for _, path := range []string{s.node.AgentLog(), s.runtime.log()} {
		if b, err := os.ReadFile(path); err == nil {
			t.Logf("%s:\n%s", filepath.Base(path), tail(b))
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// report is check for clean-ups, which must go on.
func report(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func newUID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
