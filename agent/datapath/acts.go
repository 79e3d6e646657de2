// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy/compile"
)

func lowerPermit(k compile.Permit, rule uint32) (state.RawPermit, uint32) {
	return state.RawPermit{List: k.List, What: k.What, Program: k.Program, Parent: k.Parent}, rule
}

func lowerFolder(path string, f compile.Folder) (state.RawFolderKey, state.RawFolder) {
	key := folderKey(path)
	return key, state.RawFolder{Len: key.Len, Files: f.Files, Below: f.Below}
}

// folderKey is a folder with its final slash as the trie has it.
func folderKey(folder string) state.RawFolderKey {
	k := state.RawFolderKey{Len: uint32(8 * len(folder))}
	copy(k.Path[:], folder)
	return k
}

func lowerHeads(heads [2]compile.RuntimeHead) (out [2]state.RawRuntimeHead) {
	for i, h := range heads {
		out[i] = lowerHead(h)
	}
	return out
}

func lowerHead(h compile.RuntimeHead) state.RawRuntimeHead {
	return state.RawRuntimeHead{List: h.List, Rule: h.Rule, Action: uint8(h.Action), Parents: flag(h.Parents)}
}

func lowerFileRule(k compile.FileKey, h compile.RuntimeHead) (state.RawFileKey, state.RawRuntimeHead) {
	return state.RawFileKey{List: k.List, File: k.File, Operation: k.Operation}, lowerHead(h)
}
