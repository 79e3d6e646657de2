// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/bpf/cred"
	"github.com/sluice-io/sluice/bpf/file"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/test/harness"
)

const (
	calls      = 200_000 // system calls of one sample
	callRounds = 15      // each measures all that there is to compare, one after the other
)

// callCosts measures what a system call of a process outside every pod takes: bare, and
// with what a rule in force may attach to the way out of each.
func callCosts(ctx context.Context, f figures, n *harness.Node) error {
	s, err := state.Open(state.Dir(n.Bpffs))
	if err != nil {
		return err
	}
	defer s.Close()
	none := func(*state.State) error { return nil }
	gone := func(state.Dir) error { return nil }
	list := []struct {
		name   string
		attach func(*state.State) error
		detach func(state.Dir) error
		took   []float64
	}{
		{name: "syscall_bare_ns", attach: none, detach: gone},
		{name: "syscall_privileges_ns", attach: cred.Attach, detach: cred.Detach},
		{name: "syscall_files_ns", attach: file.AttachOpened, detach: file.DetachOpened},
	}
	for range callRounds {
		for i := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := list[i].attach(s); err != nil {
				return err
			}
			list[i].took = append(list[i].took, perCall())
			if err := list[i].detach(s.Dir); err != nil {
				return err
			}
		}
	}
	for _, x := range list {
		slices.Sort(x.took)
		f.add(x.name, x.took[len(x.took)/2], "ns")
	}
	return nil
}

// perCall is ns of a system call that does next to nothing.
func perCall() float64 {
	begun := time.Now()
	for range calls {
		syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0)
	}
	return float64(time.Since(begun)) / calls
}
