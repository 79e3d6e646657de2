// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// BuiltEnv names a folder with all programs below, built before, for machines
// without a compiler: they are linked to, not built.
const BuiltEnv = "SLUICE_TEST_BIN"

const (
	module  = "github.com/sluice-io/sluice/"
	plugins = "github.com/containernetworking/plugins/plugins/"
)

// BuildPlugins builds sluice-cni, and the plugins that a node chains it to, into dir.
func BuildPlugins(ctx context.Context, dir string) error {
	if err := build(ctx, filepath.Join(dir, "sluice-cni"), module+"plugin"); err != nil {
		return err
	}
	return build(ctx, dir+"/", plugins+"main/bridge", plugins+"main/ptp", plugins+"main/loopback",
		plugins+"ipam/host-local", plugins+"meta/portmap")
}

// BuildAgent builds sluice into dir and returns its path.
func BuildAgent(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "sluice")
	return path, build(ctx, path, module+"agent")
}

// BuildProbe builds the program of many deeds that runs in pods, into dir, and
// returns its path. It needs no library.
func BuildProbe(ctx context.Context, dir string) (string, error) {
	at := filepath.Join(dir, "probe")
	return at, build(ctx, at, module+"test/probe")
}

// build runs in a folder of this module, as tests do.
func build(ctx context.Context, to string, packages ...string) error {
	if from := os.Getenv(BuiltEnv); from != "" {
		return link(from, to, packages)
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-ldflags=-s -w", "-o", to}, packages...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", filepath.Base(to), err, out)
	}
	return nil
}

func link(from, to string, packages []string) error {
	for _, p := range packages {
		name := to
		if strings.HasSuffix(to, "/") {
			name = filepath.Join(to, path.Base(p))
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("make folder for %s: %w", path.Base(p), err)
		}
		if err := os.Symlink(filepath.Join(from, filepath.Base(name)), name); err != nil {
			return fmt.Errorf("link %s: %w", path.Base(p), err)
		}
	}
	return nil
}
