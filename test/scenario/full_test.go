// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// TestFullProcessTable: who fills the table of processes gains nothing by it.
func TestFullProcessTable(t *testing.T) {
	t.Parallel()
	s := newThief(t)
	s.put("WorkloadPolicy", workload(killGains))
	begun, full, witness := s.dir+"/open/begun", s.dir+"/open/full", s.dir+"/open/witness"
	if err := errors.Join(os.Mkdir(s.dir+"/open", 0o755), os.Chmod(s.dir+"/open", 0o777)); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(": > %s; while [ ! -e %s ]; do :; done; %s touch %s", begun, full, s.setuid, witness)
	cmd := s.command(s.client, built.probe, "as-uid", "1000", "1000", "/bin/sh", "-c", script)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.until("the shell runs", func() bool { _, err := os.Stat(begun); return err == nil })
	procs, err := ebpf.LoadPinnedMap(state.Dir(s.node.Bpffs).Map(state.RawMapProcs), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer procs.Close()
	for pid := uint32(1 << 24); ; pid++ { // beyond what a process can have
		if err := procs.Put(pid, state.RawProc{}); state.IsFull(err) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(full, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("the shell ended well: %s", said.String())
	}
	if _, err := os.Stat(witness); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the setuid program ran")
	}
	s.until("the kill is told", func() bool { return s.outcomes()["killed"] > 0 })
}
