// SPDX-License-Identifier: Apache-2.0

// Command sluice is the agent of a node and its client.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-io/sluice/agent/cli"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, cli.Local{
		Version:   version,
		Agent:     runAgent,
		Doctor:    runDoctor,
		Uninstall: runUninstall,
		Demo:      runDemo,
	})
}
