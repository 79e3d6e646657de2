// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/bpf/state"
)

// A torn file is lost; it may be forgotten only where no pod depends on it.
func TestTornState(t *testing.T) {
	dir, pins := t.TempDir(), state.Dir(t.TempDir())
	log := slog.New(slog.DiscardHandler)
	path := filepath.Join(dir, idsFile)
	for name, torn := range map[string]string{"empty": "", "cut": `{"a":`, "zeros": "\x00\x00"} {
		must(t, os.WriteFile(path, []byte(torn), 0o600))
		if err := load(path, new(map[string]int), pins, log); err != nil {
			t.Errorf("%s, no pods: %v", name, err)
		}
	}
	must(t, os.MkdirAll(pins.Pod("a"), 0o700))
	err := load(path, new(map[string]int), pins, log)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "uninstall") {
		t.Errorf("with a pod: %v, want an error with the file and the remedy", err)
	}
	must(t, writeIfChanged(path, []byte(`{"a":1}`)))
	got := map[string]int{}
	if must(t, load(path, &got, pins, log)); got["a"] != 1 {
		t.Errorf("stored %v, want a = 1", got)
	}
}
