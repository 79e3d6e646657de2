// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/api"
	"github.com/sluice-io/sluice/agent/cli"
	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/engine"
	"github.com/sluice-io/sluice/agent/journal"
	"github.com/sluice-io/sluice/agent/metrics"
	"github.com/sluice-io/sluice/agent/store"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

// runAgent is the daemon: it puts its parts together and runs them until ctx ends.
// What is in force stays in force.
func runAgent(ctx context.Context, c cli.AgentConfig) error {
	if err := checkDisable(c.Disable); err != nil {
		return err
	}
	log := logger(c)
	root := c.CgroupRoot
	if root == "" {
		var err error
		if root, err = datapath.CgroupRoot(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	release, err := lockState(c.StateDir)
	if err != nil {
		return err
	}
	defer release()
	objects, err := store.New(store.Config{Manifests: c.Manifests, StateDir: c.StateDir})
	if err != nil {
		return err
	}
	dp, err := datapath.Open(datapath.Config{
		BPFFS: c.BPFFS, Sizes: sizes(c), Flows: flows(c), NoScripts: slices.Contains(c.Disable, "scripts"),
		NoNetfilter: slices.Contains(c.Disable, "netfilter"),
	})
	if err != nil {
		return err
	}
	defer dp.Close()
	history := journal.New(0, 0)
	eng, err := engine.New(engine.Config{
		Version: c.Version, Node: c.NodeName, StateDir: c.StateDir, CgroupRoot: root,
		NoSyscalls: slices.Contains(c.Disable, "syscalls"),
	}, dp, history, log)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(metrics.New(eng)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	server, err := api.New(api.Config{
		Socket: c.Socket, Store: objects, Journal: history, Backend: eng, Metrics: registry, Log: log,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	if err := eng.Adopt(); err != nil {
		return err
	}
	apply := func() {
		if err := eng.Follow(objects.Cluster()); err != nil {
			log.Error("not all objects are in force", "error", err)
		}
	}
	apply()
	log.Info("ready", "node", c.NodeName, "socket", c.Socket, "bpffs", c.BPFFS, "pods", len(eng.Pods()))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return dp.Watch(ctx, eng) })
	g.Go(func() error { return eng.Run(ctx) })
	g.Go(func() error { return objects.Run(ctx, apply) })
	g.Go(func() error { return server.Run(ctx) })
	return g.Wait()
}

// lockState keeps a second agent away from the same instance.
func lockState(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "agent.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of the state folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another agent runs with the state folder %s; give this one its own --state-dir: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

func logger(c cli.AgentConfig) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}

func sizes(c cli.AgentConfig) state.Sizes {
	return state.Sizes{
		Addresses: c.Maps.Addresses, Prefixes: c.Maps.Prefixes, Edges: c.Maps.Edges, Ports: c.Maps.Ports,
		Processes: c.Maps.Processes, Flows: c.Maps.Flows,
	}
}

func flows(c cli.AgentConfig) door.Config {
	t := c.Timeouts
	return door.Config{
		HalfOpen: c.FlowQuotas.HalfOpen, Open: c.FlowQuotas.Open, Denied: c.FlowQuotas.Denied,
		TCPHalf: t.TCP.HalfOpen.Duration, TCPOpen: t.TCP.Open.Duration, TCPClosing: t.TCP.Closing.Duration,
		UDPHalf: t.UDP.HalfOpen.Duration, UDPOpen: t.UDP.Open.Duration,
		Other: t.Other.Duration, DeniedFor: t.Denied.Duration,
	}
}
