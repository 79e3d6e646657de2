// SPDX-License-Identifier: Apache-2.0

package bpftest

import (
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/bpf/state"
)

// FillProcs leaves no room for a process record until empty is called. Its records are
// of no process: pids end below 1<<22 (PID_MAX_LIMIT).
func (r *Ruled) FillProcs() (empty func()) {
	r.Helper()
	const none = 1 << 22
	n := uint32(0)
	for ; ; n++ {
		if err := r.State.Procs.Put(none+n, state.RawProc{}); state.IsFull(err) {
			break
		} else if err != nil {
			r.Fatal(err)
		}
	}
	return func() {
		r.Helper()
		for i := range n {
			r.must(r.State.Procs.Delete(none + i))
		}
	}
}

// RunsOrphan says whether a program runs whose process was forked while there was no
// room for its record, but is some when it execs.
func (r *Ruled) RunsOrphan(program string) bool {
	r.Helper()
	fork, forked, exec := filepath.Join(r.Dir, "fork"), filepath.Join(r.Dir, "forked"), filepath.Join(r.Dir, "exec")
	for _, fifo := range []string{fork, exec} {
		r.must(syscall.Mkfifo(fifo, 0o600))
	}
	cmd := r.Command("/bin/sh", "-c", "read x < "+fork+"; (: > "+forked+"; read x < "+exec+
		"; exec "+program+" -c ': > "+r.Effect()+"') & wait")
	r.must(cmd.Start())
	r.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	open := r.hold(fork)
	empty := r.FillProcs()
	r.must(os.WriteFile(fork, []byte("\n"), 0))
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(forked); err == nil {
			break
		}
		if time.Now().After(end) {
			r.Fatal("the shell did not fork")
		}
	}
	open()
	empty()
	open = r.hold(exec)
	r.must(os.WriteFile(exec, []byte("\n"), 0))
	cmd.Wait()
	open()
	_, err := os.Stat(r.Effect())
	return err == nil
}

// hold waits until somebody reads a fifo, and keeps it open.
func (r *Ruled) hold(fifo string) (done func()) {
	r.Helper()
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	r.must(err)
	return func() { f.Close() }
}
