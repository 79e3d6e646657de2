// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/api"
	"github.com/sluice-io/sluice/agent/cli"
	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/engine"
	"github.com/sluice-io/sluice/agent/journal"
	"github.com/sluice-io/sluice/agent/metrics"
	"github.com/sluice-io/sluice/agent/secrets"
	"github.com/sluice-io/sluice/agent/store"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

// runAgent is the daemon: it puts its parts together and runs them until ctx ends.
// What is in force stays in force.
func runAgent(ctx context.Context, c cli.AgentConfig) error {
	log := logger(c)
	root, err := cgroupRoot(c.CgroupRoot)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	var held locks
	defer held.release()
	if err := errors.Join(held.lockState(c.StateDir), held.lockPins(c.BPFFS)); err != nil {
		return err
	}
	objects, err := store.New(store.Config{Manifests: c.Manifests, StateDir: c.StateDir, Log: log})
	if err != nil {
		return err
	}
	mask, err := secrets.New(c.MaskPatterns)
	if err != nil {
		return fmt.Errorf("maskPatterns: %w", err)
	}
	dp, err := datapath.Open(datapath.Config{
		BPFFS: c.BPFFS, Sizes: sizes(c), Flows: flows(c), Tells: tells(c),
		AntiSpoofing: antiSpoofing[c.AntiSpoofing], Keep: c.EstablishedConnections == "Keep",
		NoLSM: slices.Contains(c.Disable, "lsm"), NoSyscalls: slices.Contains(c.Disable, "syscalls"),
		NoScripts: slices.Contains(c.Disable, "scripts"), NoSockets: slices.Contains(c.Disable, "sockets"), NoNetfilter: slices.Contains(c.Disable, "netfilter"),
	})
	if err != nil {
		return err
	}
	defer dp.Close()
	if err := held.lockPins(c.BPFFS); err != nil {
		return err
	}
	warnOfSizes(c.Maps, dp.State(), log)
	history := journal.New(0, 0)
	cfg := engine.Config{
		Version: c.Version, Node: c.NodeName, StateDir: c.StateDir, CgroupRoot: root,
		NoSyscalls: slices.Contains(c.Disable, "syscalls"), Hide: mask.Hide,
	}
	if c.Args == "Full" {
		cfg.Hide = nil
	}
	eng, err := engine.New(cfg, dp, history, log)
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

// cgroupRoot is the folder below which pods' cgroups lie.
func cgroupRoot(configured string) (string, error) {
	if configured == "" {
		return datapath.CgroupRoot()
	}
	var st unix.Statfs_t
	if err := unix.Statfs(configured, &st); err != nil {
		return "", fmt.Errorf("open --cgroup-root %s: %w", configured, err)
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return "", fmt.Errorf("--cgroup-root %s is not on cgroup v2; leave it out to have cgroup v2 found in mountinfo", configured)
	}
	return configured, nil
}

// warnOfSizes names the maps that are not of the configured size: pinned ones keep
// theirs, with what is in them.
func warnOfSizes(want cli.MapSizes, s *state.State, log *slog.Logger) {
	for _, m := range []struct {
		field string
		want  uint32
		m     *ebpf.Map
	}{
		{"maps.addresses", want.Addresses, s.Peers},
		{"maps.prefixes", want.Prefixes, s.Prefixes},
		{"maps.edges", want.Edges, s.Edges},
		{"maps.ports", want.Ports, s.Ports},
		{"maps.permits", want.Permits, s.Permits},
		{"maps.fileRules", want.FileRules, s.FileRules},
		{"maps.processes", want.Processes, s.Procs},
		{"maps.flows", want.Flows, s.Flows},
	} {
		if m.want != 0 && m.want != m.m.MaxEntries() {
			log.Warn("a pinned map keeps its size; to change it stop the agent, run `sluice uninstall` and start again",
				"field", m.field, "wanted", m.want, "pinned", m.m.MaxEntries())
		}
	}
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
		Addresses: c.Maps.Addresses, Prefixes: c.Maps.Prefixes, Edges: c.Maps.Edges, Ports: c.Maps.Ports, Permits: c.Maps.Permits,
		FileRules: c.Maps.FileRules, Processes: c.Maps.Processes, Flows: c.Maps.Flows,
	}
}

// antiSpoofing are the modes by their names in the configuration.
var antiSpoofing = map[string]datapath.AntiSpoofing{
	"": datapath.SpoofEnforce, "Enforce": datapath.SpoofEnforce, "Audit": datapath.SpoofAudit, "Off": datapath.SpoofOff,
}

// tells says what of processes leaves the kernel unless somebody asks for more.
func tells(c cli.AgentConfig) datapath.Tells {
	var t datapath.Tells
	events := c.Events
	if events == nil {
		events = cli.ProcessEvents[:]
	}
	for _, name := range events {
		t |= datapath.TellsOf(name)
	}
	if c.Args != "Off" {
		t |= datapath.TellArgs
	}
	return t
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
