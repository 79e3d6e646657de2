// SPDX-License-Identifier: Apache-2.0

package door

import (
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// bypass lets every frame by those behind it.
func bypass(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0 /* TCX_PASS */), asm.Return()},
	})
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// linkID is the id of a pinned link.
func linkID(t *testing.T, path string) link.ID {
	t.Helper()
	l, err := link.LoadPinnedLink(path, nil)
	must(t, err)
	defer l.Close()
	info, err := l.Info()
	must(t, err)
	return info.ID
}

// Nothing that was there first may keep a frame from the door, and a door that
// stands is left as it is.
func TestAttach(t *testing.T) {
	bpftest.Netns(t)
	dir := bpftest.Dir(t)
	s, err := state.Create(dir, state.Sizes{Pods: 2, Flows: 64})
	must(t, err)
	defer s.Close()
	must(t, Install(s, Config{}))
	p := bypass(t)
	for _, hook := range hooks {
		l, err := link.AttachTCX(link.TCXOptions{Interface: 1, Program: p, Attach: hook})
		must(t, err)
		defer l.Close()
	}
	must(t, Attach(dir, "pod", 1))
	must(t, Check(dir, "pod", 1))
	other, err := p.Info()
	must(t, err)
	ids := make(map[string]link.ID)
	for name, hook := range hooks {
		ids[name] = linkID(t, filepath.Join(dir.Pod("pod"), name))
		got, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: hook})
		must(t, err)
		if last, _ := other.ID(); len(got.Programs) != 2 || got.Programs[1].ID != last {
			t.Errorf("%s: programs %v, want the door and then %d", name, got.Programs, last)
		}
	}
	must(t, state.Unlink(filepath.Join(dir.Pod("pod"), progIn)))
	must(t, Attach(dir, "pod", 1))
	must(t, Check(dir, "pod", 1))
	if id := linkID(t, filepath.Join(dir.Pod("pod"), progOut)); id != ids[progOut] {
		t.Errorf("link %d of a door that stood became %d", ids[progOut], id)
	}
}
