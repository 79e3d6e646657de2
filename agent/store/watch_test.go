// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mustRun runs s until the test ends and returns the number of changes.
func mustRun(t *testing.T, s *Store) *atomic.Int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	changes := new(atomic.Int64)
	go func() { done <- s.Run(ctx, func() { changes.Add(1) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return changes
}

func waitTeams(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if cmp.Equal(want, teams(s)) {
			return
		}
	}
	wantTeams(t, s, want)
}

func TestRun(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "manifests")
	s := mustNew(t, dir, t.TempDir())
	wantProblems(t, s, dir)
	changes := mustRun(t, s)

	if err := os.Mkdir(dir, 0o700); err != nil { // seen by trying again
		t.Fatal(err)
	}
	mustWrite(t, dir, "x.yaml", namespace("a", "1"))
	waitTeams(t, s, map[string]string{"a": "1"})
	mustWrite(t, dir, "x.yaml", namespace("a", "2"))
	waitTeams(t, s, map[string]string{"a": "2"})
	if changes.Load() < 2 {
		t.Errorf("%d changes told, want 2", changes.Load())
	}

	// Another folder comes in its place: the old watch must not be kept.
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir, "y.yaml", namespace("b", "1"))
	waitTeams(t, s, map[string]string{"b": "1"})
	mustWrite(t, dir, "y.yaml", namespace("b", "2"))
	waitTeams(t, s, map[string]string{"b": "2"})
}

func TestRunWithoutFolder(t *testing.T) {
	mustRun(t, mustNew(t, "", t.TempDir()))
}
