// SPDX-License-Identifier: Apache-2.0

// Package bpftest helps tests of programs: a bpf filesystem of their own, network
// namespaces on threads of their own, and frames as program input.
package bpftest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// RequireRoot skips the test, or fails it where REQUIRE names root, if it cannot
// load programs.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE") != "" {
		tb.Fatal("needs root")
	}
	tb.Skip("needs root")
}

// Dir mounts a bpf filesystem for the time of the test and gives a pin folder on it.
func Dir(tb testing.TB) state.Dir {
	tb.Helper()
	RequireRoot(tb)
	mount := tb.TempDir()
	if err := syscall.Mount("bpf", mount, "bpf", 0, ""); err != nil {
		tb.Fatalf("mount bpf filesystem: %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			tb.Errorf("unmount bpf filesystem: %v", err)
		}
	})
	return state.Dir(filepath.Join(mount, "sluice"))
}

// Netns locks the test to a thread in a new network namespace; the thread ends
// with the test and takes the namespace along.
func Netns(tb testing.TB) {
	tb.Helper()
	RequireRoot(tb)
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		tb.Fatalf("make network namespace: %v", err)
	}
}

// SKB is the head of struct __sk_buff, the context of a TC program.
type SKB struct {
	Len, PktType, Mark, QueueMapping, Protocol, VlanPresent, VlanTCI, VlanProto, Priority uint32
	IngressIfindex, Ifindex                                                               uint32
}

// Verdicts of a TCX program.
const (
	Next uint32 = 0xffffffff
	Drop uint32 = 2
)

// Run gives a frame to a TC program on interface 1, as if it came from another
// interface, or from the node itself if fromNode.
func Run(tb testing.TB, p *ebpf.Program, frame []byte, fromNode bool) uint32 {
	tb.Helper()
	ctx := SKB{Ifindex: 1, IngressIfindex: 1}
	if fromNode {
		ctx.IngressIfindex = 0
	}
	ret, err := p.Run(&ebpf.RunOptions{Data: frame, Context: ctx, Repeat: 1})
	if err != nil {
		tb.Fatalf("run %s: %v", p, err)
	}
	return ret
}

// Cgroup makes a cgroup v2 folder for the time of the test.
func Cgroup(tb testing.TB) string {
	tb.Helper()
	RequireRoot(tb)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		tb.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") || fields[3] != "/" {
			continue
		}
		dir, err := os.MkdirTemp(fields[4], "sluice-test-")
		if err != nil {
			tb.Fatalf("make cgroup: %v", err)
		}
		tb.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				tb.Errorf("remove cgroup: %v", err)
			}
		})
		return dir
	}
	tb.Skip("no cgroup2 filesystem is mounted")
	return ""
}

// Overlay mounts a root as containers have one for the time of the test, over what fill
// makes.
func Overlay(tb testing.TB, fill func(lower string) error) string {
	tb.Helper()
	RequireRoot(tb)
	dir := tb.TempDir()
	mount := func(kind, at, options string) {
		tb.Helper()
		if err := syscall.Mount(kind, at, kind, 0, options); err != nil {
			tb.Fatalf("mount %s: %v", kind, err)
		}
		tb.Cleanup(func() {
			if err := syscall.Unmount(at, 0); err != nil {
				tb.Errorf("unmount %s: %v", kind, err)
			}
		})
	}
	mount("tmpfs", dir, "")
	for _, d := range []string{"lower", "upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	if err := fill(filepath.Join(dir, "lower")); err != nil {
		tb.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	mount("overlay", root, "lowerdir="+dir+"/lower,upperdir="+dir+"/upper,workdir="+dir+"/work")
	return root
}
