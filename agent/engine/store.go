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

// writeIfChanged gives a file another content, whole or not at all, also if the
// machine crashes.
func writeIfChanged(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
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
