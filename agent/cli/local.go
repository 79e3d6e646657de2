// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
)

func (c *command) agent() *cobra.Command {
	cfg := AgentConfig{Version: c.local.Version}
	var file string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the daemon of this node",
		Long: `Runs until SIGTERM, which leaves what is in force in place: see "sluice uninstall".

Options without a flag stand in a file:

  apiVersion: sluice.dev/v1alpha1
  kind: AgentConfiguration
  antiSpoofing: Enforce              # Enforce | Audit | Off: frames that bear a foreign source
  establishedConnections: Recheck    # Recheck | Keep: what a change of rules does to them
  args: Masked                       # Full | Masked | Off: arguments of processes; secrets are masked
  maskPatterns: ['licen[cs]e=(\S+)'] # further secrets: the last group of a match, or all of it
  events: [exec, fork, exit]         # told of all pods' processes; a process needs its exec to have a name
  maps: {flows: 131073, processes: 16384, addresses: 131072, prefixes: 65536, edges: 262144, ports: 131072}
  flowQuotas: {halfOpen: 4096, open: 32768, denied: 4096}   # of one pod
  timeouts:
    tcp: {halfOpen: 60s, open: 6h, closing: 10s}
    udp: {halfOpen: 30s, open: 2m}
    other: 60s
    denied: 30s

What has a flag may stand there too (manifests, stateDir, ...); the flag wins.`,
		Example: `  sluice agent --manifests /etc/sluice/manifests
  sluice agent --socket /tmp/a/sock --state-dir /tmp/a --bpffs /sys/fs/bpf/a   # beside another one
  SLUICE_LOG_LEVEL=debug sluice agent --config /etc/sluice/agent.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.load(file, cmd.Flags()); err != nil {
				return err // of usage
			}
			c.running = true
			return c.local.Agent(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Manifests, "manifests", "", "watched `folder` of manifests")
	f.StringVar(&cfg.Socket, "socket", DefaultSocket, "the socket to serve")
	f.StringVar(&cfg.BPFFS, "bpffs", DefaultBPFFS, "`folder` of the pins, on a bpf file system")
	f.StringVar(&cfg.StateDir, "state-dir", DefaultStateDir, "`folder` of what survives a restart")
	f.StringVar(&cfg.CgroupRoot, "cgroup-root", "", "where cgroup2 is mounted (default: found in mountinfo)")
	f.StringVar(&cfg.NodeName, "node-name", "", "name of this node (default: the host's name)")
	f.StringVar(&file, "config", "", "`file` of further options")
	f.StringSliceVar(&cfg.Disable, "disable", nil, disableHelp)
	f.TextVar(&cfg.LogLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	f.StringVar(&cfg.LogFormat, "log-format", "text", "text or json")
	return cmd
}

func (c *command) uninstall() *cobra.Command {
	var cfg UninstallConfig
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove every program, pin and record from this node",
		Long: `Removes what an agent left in place: attached programs, pins, records of pods and
applied objects. Pods keep their network; nothing judges it any more. A bpf filesystem that the agent
mounted at /sys/fs/bpf, its usual place, stays: others may pin there. Stop the agent first.`,
		Example: `  sluice uninstall
  sluice uninstall --state-dir /tmp/a --bpffs /sys/fs/bpf/a --socket /tmp/a/sock`,
		Args: cobra.NoArgs,
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			return c.local.Uninstall(cmd.Context(), cfg)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Socket, "socket", DefaultSocket, "the agent's socket")
	f.StringVar(&cfg.BPFFS, "bpffs", DefaultBPFFS, "`folder` of the pins")
	f.StringVar(&cfg.StateDir, "state-dir", DefaultStateDir, "`folder` of what survives a restart")
	return cmd
}

func (c *command) demo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show what Sluice does, on three pods made for it",
		Long: `Starts an agent of its own, makes three pods through a real CNI chain, applies
policies to them and checks each step. Leaves nothing behind. Needs root.`,
		Example: `  sudo sluice demo`,
		Args:    cobra.NoArgs,
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			return c.local.Demo(cmd.Context(), DemoConfig{Out: cmd.OutOrStdout()})
		}),
	}
}

func (c *command) version() *cobra.Command {
	return c.reads(&cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: `  sluice version -o json`,
		Args:    cobra.NoArgs,
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			if c.output == formatJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": c.local.Version})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), c.local.Version)
			return err
		}),
	})
}
