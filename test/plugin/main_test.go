// SPDX-License-Identifier: Apache-2.0

// Package plugin tests sluice-cni through libcni and a real conflist, without an
// agent: the test itself pins the maps and programs.
package plugin

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/containernetworking/plugins/pkg/ns"

	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/sock"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/test/harness"
)

// helperEnv makes the test binary a program that runs in a pod.
const helperEnv = "SLUICE_TEST_HELPER"

// binaries holds sluice-cni and the plugins it is chained to; empty without root.
var binaries string

func TestMain(m *testing.M) {
	if what := os.Getenv(helperEnv); what != "" {
		if err := help(what, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() == 0 {
		dir, err := os.MkdirTemp("", "sluice-bin-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = harness.BuildPlugins(context.Background(), dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		binaries = dir
	}
	return m.Run()
}

// help serves, or asks a server, on TCP.
func help(what, address string) error {
	if what == "ask" {
		c, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Second))
		_, err = io.ReadFull(c, make([]byte, 2))
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		io.WriteString(c, "ok")
		c.Close()
	}
}

func needKernel(tb testing.TB) {
	tb.Helper()
	netns, err := ns.TempNetNS()
	if err != nil {
		tb.Skipf("make network namespace: %v", err)
	}
	netns.Close()
}

// mustNode makes a node that is gone, to the last trace, when the test ends.
func mustNode(tb testing.TB, cfg harness.Config) *harness.Node {
	tb.Helper()
	needKernel(tb)
	cfg.CNIPath = []string{binaries}
	n, err := harness.NewNode(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Error(err)
		}
		for _, path := range []string{n.Root, n.CgroupRoot} {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				tb.Errorf("%s is left behind", path)
			}
		}
	})
	return n
}

// small are tables of a node with few pods: large ones cost half a second to make.
var small = state.Sizes{Pods: 64, Addresses: 64, Edges: 64, Ports: 64, Processes: 256, Flows: 256, Cgroups: 4096}

// mustInstall pins what an agent would pin.
func mustInstall(tb testing.TB, n *harness.Node, sizes state.Sizes) *state.State {
	tb.Helper()
	s, err := state.Create(state.Dir(n.Bpffs), sizes)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	for _, install := range []func() error{
		func() error { return door.Install(s, door.Defaults()) },
		func() error { return sock.Install(s, door.Defaults()) },
		func() error { return process.Install(s) },
	} {
		if err := install(); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

func mustAdd(tb testing.TB, n *harness.Node, spec harness.PodSpec) *harness.Pod {
	tb.Helper()
	p, err := n.AddPod(tb.Context(), spec)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// mustServe starts a TCP server in the pod.
func mustServe(tb testing.TB, p *harness.Pod) {
	tb.Helper()
	cmd := p.Command(tb.Context(), os.Args[0], ":8080")
	cmd.Env = append(os.Environ(), helperEnv+"=serve")
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, len("listening"))); err != nil {
		tb.Fatal("server did not start: ", err)
	}
}

// ask connects to the servers of a pod, on both its addresses.
func ask(cmd func(ctx context.Context, name string, args ...string) *harness.Command, to *harness.Pod) []error {
	var errs []error
	for _, ip := range to.IPs {
		c := cmd(context.Background(), os.Args[0], net.JoinHostPort(ip.String(), "8080"))
		c.Env = append(os.Environ(), helperEnv+"=ask")
		if out, err := c.CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", ip, err, out))
		}
	}
	return errs
}

// left lists what the plugin keeps of pods: records and pins; its lock stays.
func left(tb testing.TB, n *harness.Node) []string {
	tb.Helper()
	records, err := filepath.Glob(filepath.Join(n.StateDir, "pods", "[^.]*"))
	if err != nil {
		tb.Fatal(err)
	}
	pins, err := filepath.Glob(filepath.Join(n.Bpffs, "pods", "*"))
	if err != nil {
		tb.Fatal(err)
	}
	return append(records, pins...)
}

// slots counts the pods in the kernel's tables.
func slots(tb testing.TB, s *state.State) map[string]int {
	tb.Helper()
	counts := map[string]int{}
	var slot uint32
	var p state.RawPod
	for it := s.Pods.Iterate(); it.Next(&slot, &p); {
		if p.Id != 0 {
			counts["pods"]++
		}
	}
	for name, m := range map[string]*ebpf.Map{
		"doors": s.Doors, "netnses": s.Netnses, "owners": s.Owners, "cgroups": s.Cgroups,
	} {
		var last any
		for {
			next, err := m.NextKeyBytes(last)
			if err != nil {
				tb.Fatal(err)
			}
			if next == nil {
				break
			}
			counts[name]++
			last = next
		}
	}
	return counts
}
