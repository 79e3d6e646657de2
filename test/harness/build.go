// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

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

// build runs in a folder of this module, as tests do.
func build(ctx context.Context, to string, packages ...string) error {
	out, err := exec.CommandContext(ctx, "go", append([]string{"build", "-o", to}, packages...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", filepath.Base(to), err, out)
	}
	return nil
}
