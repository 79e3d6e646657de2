// SPDX-License-Identifier: Apache-2.0

package bpftest

import (
	"errors"
	"syscall"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// Guard leaves an operation on a file, by its id, to the programs of List; nobody may
// have it on a file that cannot be described. The pod's rule set has List among Files.
func (r *Ruled) Guard(file, operation, action uint32) {
	r.Helper()
	head := Head(action)
	r.must(r.State.FileRules.Put(state.RawFileKey{List: List, File: file, Operation: operation}, head))
	head.List = 0
	r.must(r.State.FileRules.Put(state.RawFileKey{List: List, File: state.FileAnything, Operation: operation}, head))
}

// Unguard takes back Guard, if there was one.
func (r *Ruled) Unguard(file, operation uint32) {
	r.Helper()
	for _, f := range []uint32{file, state.FileAnything} {
		err := r.State.FileRules.Delete(state.RawFileKey{List: List, File: f, Operation: operation})
		if !errors.Is(err, ebpf.ErrKeyNotExist) {
			r.must(err)
		}
	}
}

// Resolve says what the agent has found out about the pod's container: bits of enum
// resolved in bpf/include/act_types.h.
func (r *Ruled) Resolve(bits uint32) {
	r.Helper()
	r.must(r.State.Resolved.Put(r.Pod.Cgroups[0], bits))
}

// Found has a file that the agent has found in the pod's container.
func (r *Ruled) Found(path string, id uint32) {
	r.Helper()
	r.must(r.State.Programs.Put(r.file(path), id))
}

// Place has a folder that the agent has found there.
func (r *Ruled) Place(path string, files, below uint32) {
	r.Helper()
	r.must(r.State.Places.Put(r.file(path), state.RawFolder{Files: files, Below: below}))
}

func (r *Ruled) file(path string) state.RawProgram {
	r.Helper()
	var st syscall.Stat_t
	r.must(syscall.Stat(path, &st))
	major, minor := st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00
	return state.RawProgram{Container: r.Pod.Cgroups[0], Ino: st.Ino, Dev: uint32(major<<20 | minor)}
}
