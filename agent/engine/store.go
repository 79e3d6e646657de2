// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluice-io/sluice/bpf/state"
)

// load decodes a file into v; v stays as it is if there is none. What a crash of
// the machine has torn is lost, which matters only if pods have outlived it.
func load(path string, v any, pins state.Dir, log *slog.Logger) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err = json.Unmarshal(b, v); err == nil {
		return nil
	}
	pods, failed := os.ReadDir(filepath.Dir(pins.Pod("-")))
	if failed != nil && !errors.Is(failed, fs.ErrNotExist) {
		return fmt.Errorf("list pods: %w", failed)
	}
	if len(pods) != 0 {
		return fmt.Errorf("decode %s, which the %d pods attached here depend on: %w; run `sluice uninstall`, remove the file, and start again",
			path, len(pods), err)
	}
	log.Warn("begin without stored state", "file", path, "error", err)
	return nil
}

// revisionFile holds the last revision between runs: it never goes back.
const revisionFile = "revision"

// lastRevision is 0 if there is none to be read.
func lastRevision(stateDir string, log *slog.Logger) uint64 {
	b, err := os.ReadFile(filepath.Join(stateDir, revisionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	var n uint64
	if err == nil {
		n, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	}
	if err != nil {
		log.Warn("revisions begin anew", "error", err)
	}
	return n
}

// next counts a change that is in force. The count is not synced to the disk, which
// would cost more than the change: only a crash of the machine can set it back.
func (e *Engine) next() uint64 {
	n := e.view.next()
	path := filepath.Join(e.cfg.StateDir, revisionFile)
	err := os.WriteFile(path+".tmp", strconv.AppendUint(nil, n, 10), 0o600)
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		e.log.Error("store revision", "error", err)
	}
	return n
}

// writeIfChanged gives a file another content, whole or not at all, also if the
// machine crashes.
func writeIfChanged(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	return replace(path, b)
}

// replace is writeIfChanged of what is known to have changed.
func replace(path string, b []byte) error {
	if err := write(path+".tmp", b); err != nil {
		return fmt.Errorf("store state: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("store state: %w", err)
	}
	return nil
}

func write(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
