// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sluice-io/sluice/agent/cli"
	"github.com/sluice-io/sluice/agent/demo"
)

// runDemo finds what `make` has built beside this binary.
func runDemo(ctx context.Context, c cli.DemoConfig) error {
	if err := needRoot("demo"); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // `| head` must not keep it from cleaning up
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}
	bin := filepath.Dir(self)
	return demo.Run(ctx, demo.Config{
		Sluice: self, CNI: []string{bin, filepath.Join(bin, "cni")}, Probe: filepath.Join(bin, "probe"), Out: c.Out,
	})
}
