// SPDX-License-Identifier: Apache-2.0

// Package scenario tests the whole of Sluice from outside: pods made by libcni
// through the real conflist, a running agent, real programs with real sockets. It
// looks only at what a user could see: what arrived, which file exists, what lives.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// built are the binaries under test, made once; empty without root.
var built struct{ dir, agent, probe string }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // each test says why it is skipped
	}
	dir, err := os.MkdirTemp("", "sluice-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := buildAll(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func buildAll(ctx context.Context, dir string) (err error) {
	built.dir = dir
	if err := os.Chmod(dir, 0o755); err != nil { // programs run as other users too
		return err
	}
	if err := harness.BuildPlugins(ctx, dir); err != nil {
		return err
	}
	if built.agent, err = harness.BuildAgent(ctx, dir); err != nil {
		return err
	}
	built.probe, err = harness.BuildProbe(ctx, dir)
	return err
}

// skip skips the test, or fails it where REQUIRE is set.
func skip(tb testing.TB, reason string) {
	tb.Helper()
	if os.Getenv("REQUIRE") != "" {
		tb.Fatal(reason)
	}
	tb.Skip(reason)
}

// mustDir makes a folder that every user can enter and write to.
func mustDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err == nil {
		tb.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// mustProgram puts a program of its own, a copy of the probe, at a path.
func mustProgram(tb testing.TB, path string) string {
	tb.Helper()
	in, err := os.Open(built.probe)
	if err != nil {
		tb.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		tb.Fatal(err)
	}
	return path
}

func exists(tb testing.TB, path string) bool {
	tb.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		tb.Fatal(err)
	}
	return err == nil
}
