// SPDX-License-Identifier: Apache-2.0

// Package cli is the sluice command: its subcommands, flags, output and exit
// codes. What does not go over the agent's socket is given to it as a Local.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-io/sluice/agent/rpc"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3 // nothing changed
	exitUnreachable = 4
	exitDegraded    = 5 // accepted, not in force
)

// Default roots of an installation.
const (
	DefaultSocket   = "/run/sluice/agent.sock"
	DefaultBPFFS    = "/sys/fs/bpf/sluice"
	DefaultStateDir = "/var/lib/sluice"
)

// Local is what the commands do that do not ask an agent.
type Local struct {
	Version   string
	Agent     func(context.Context, AgentConfig) error
	Doctor    func(context.Context, DoctorConfig) (Report, error)
	Uninstall func(context.Context, UninstallConfig) error
	Demo      func(context.Context, DemoConfig) error
}

// DoctorConfig is what `sluice doctor` is asked.
type DoctorConfig struct {
	Disable []string // as for the agent
}

// UninstallConfig names the installation to remove.
type UninstallConfig struct {
	Socket   string
	BPFFS    string
	StateDir string
}

// DemoConfig says where `sluice demo` tells its story.
type DemoConfig struct {
	Out io.Writer
}

// exitError is an error with the exit code that it stands for.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Main runs one command and returns its exit code. Commands that do not end by
// themselves end with ctx.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, local Local) int {
	c := &command{local: local, output: formatTable}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	code := exitUsage // cobra's own errors, before anything ran
	if c.running {
		code = exitCode(err)
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(stderr, "sluice:", safe(line))
	}
	switch code {
	case exitUsage:
		fmt.Fprintf(stderr, "sluice: see %q\n", cmd.CommandPath()+" --help")
	case exitUnreachable:
		fmt.Fprintln(stderr, `sluice: start the agent with "sluice agent", or name its socket with --socket`)
	}
	return code
}

func exitCode(err error) int {
	var exit *exitError
	var refused *rpc.StatusError
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, rpc.ErrUnreachable):
		return exitUnreachable
	case errors.As(err, &refused) && refused.Code == 400:
		return exitUsage // of a query; objects that are refused have their own code
	}
	return exitFailed
}

// command is one run of the sluice command.
type command struct {
	local   Local
	socket  string
	output  format
	running bool // flags and arguments are right
}

func (c *command) client() *rpc.Client { return rpc.Dial(c.socket) }

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "A gate at every pod's door",
		Long: `Sluice decides in the kernel which program, in which pod, may reach what.
"sluice agent" is the daemon of a node; the other commands ask it or help with it.

Each flag can also be set in the environment: --state-dir is SLUICE_STATE_DIR.
Exit codes: 0 done, 1 failed, 2 usage, 3 object refused, with nothing changed by it,
4 agent not reachable, 5 accepted but not in force. Of their own: "policy trace" 10
denied, "policy lint" 3 findings, "doctor" 1 below the floor.`,
		Example: `  sluice doctor                      # what this node can enforce
  sluice agent --manifests /etc/sluice/manifests
  sluice apply -f policy.yaml
  sluice flows -f`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags()) },
	}
	root.AddCommand(c.agent(), c.apply(), c.delete(), c.get(), c.flows(), c.events(), c.ps(), c.status(),
		c.doctor(), c.enforce(), c.policy(), c.uninstall(), c.demo(), c.completion(), c.version())
	root.CompletionOptions.DisableDefaultCmd = true // completion has examples and exit codes
	return root
}

// run marks the point from which an error is no longer one of usage.
func (c *command) run(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c.running = true
		return f(cmd, args)
	}
}

// asks adds the flags of a command that asks the agent.
func (c *command) asks(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&c.socket, "socket", DefaultSocket, "the agent's socket")
	return cmd
}

// reads adds the flag of a command that prints what it read.
func (c *command) reads(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().VarP(&c.output, "output", "o", "table, or json for programs")
	return cmd
}

// fromEnvironment sets the flags that were not given from SLUICE_… variables.
func fromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "SLUICE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed || f.Name == "help" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
	})
	return errors.Join(errs...)
}
