// SPDX-License-Identifier: Apache-2.0

// Command sluice is the agent of a node and its client.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/sluice-io/sluice/agent/cli"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

// collectAt is the growth of the heap, in percent, at which it is collected: the agent
// of a node is to be small rather than quick to allocate.
const collectAt = 20

func run() int {
	debug.SetGCPercent(collectAt)
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
