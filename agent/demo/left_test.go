// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"os"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/bpftest"
)

// What is left is found, else the demo's last line would be worth nothing.
func TestWhatIsLeftIsFound(t *testing.T) {
	netns, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if (&traces{paths: []string{t.TempDir()}}).noFolder() == nil {
		t.Error("a folder is not found")
	}
	if (&traces{netns: []string{netns}}).noProcess() == nil {
		t.Error("a process in a namespace is not found")
	}
	if (&traces{paths: []string{"/proc"}}).noProcess() == nil {
		t.Error("a mount is not found")
	}
	if err := (&traces{paths: []string{"", "/nowhere"}, netns: []string{"net:[0]"}}).gone(); err != nil {
		t.Errorf("found what is not there: %v", err)
	}
	bpftest.RequireRoot(t)
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	left := traces{pinned: true}
	left.flows, _ = info.ID()
	if left.noMap() == nil {
		t.Error("a map is not found")
	}
	m.Close()
	if err := left.gone(); err != nil {
		t.Errorf("a map that is gone: %v", err)
	}
}
