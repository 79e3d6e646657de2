// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// Each problem is logged once, however often the folder is read, and its end too.
func TestProblemsAreLoggedOnce(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	s, err := New(Config{Manifests: dir + "/none", StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	rescan := func(level, says string) {
		t.Helper()
		for range 3 {
			s.rescan(func() {})
		}
		lines := strings.Count(out.String(), "\n")
		if lines != 1 || !strings.Contains(out.String(), "level="+level) || !strings.Contains(out.String(), says) {
			t.Errorf("logged %q, want one line of level %s with %q", out.String(), level, says)
		}
		out.Reset()
	}
	rescan("WARN", "none")
	s.cfg.Manifests = dir
	rescan("INFO", "none")
	mustWrite(t, dir, "a.yaml", "{ broken")
	rescan("WARN", "a.yaml")
	mustWrite(t, dir, "a.yaml", namespace("a", "b"))
	rescan("INFO", "a.yaml")
}
