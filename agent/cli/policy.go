// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-io/sluice/agent/inspect"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/eval"
	"github.com/sluice-io/sluice/policy/manifest"
)

// Exit codes of the policy commands.
const (
	exitFindings = 3
	exitDenied   = 10
)

func (c *command) policy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy explain|trace|lint",
		Short: "Say what the policies mean: who may reach what, by which rule",
		Example: `  sluice policy explain shop/web
  sluice policy trace --from shop/web --to shop/db --port 5432
  sluice policy lint policy.yaml`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("name one of explain, trace and lint") },
	}
	cmd.AddCommand(c.policyExplain(), c.policyTrace(), c.policyLint())
	return cmd
}

func (c *command) policyTrace() *cobra.Command {
	var manifests, from, to, port string
	var q inspect.Query
	cmd := &cobra.Command{
		Use:   "trace --from POD|ADDRESS --to POD|ADDRESS|SERVICE --port PORT",
		Short: "Say whether a connection is allowed, which rule decides and why others do not",
		Long: `Asks the policies of the source pod for egress and those of the destination pod for
ingress, in the order in which the kernel does. A connection to a Service is judged by
the backend that is chosen: each of them is traced.

An end is NAMESPACE/POD, an address, or service/NAMESPACE/NAME as the destination. A port
is 443, 53/UDP, ICMP, or a name that the destination's pod or Service gives it.
A connection without --process or --listener is one of a program that no rule names.

Exit codes: 0 allowed, 10 denied.`,
		Example: `  sluice policy trace --from shop/web --to shop/db --port 5432
  sluice policy trace --from shop/web --to service/shop/db --port 5432 --process /usr/bin/payments
  sluice policy trace --from 192.0.2.7 --to shop/web --port http
  sluice policy trace --manifests conf/ --from shop/web --to 10.0.0.10 --port 53/UDP -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.From, q.To, q.Port, err = parseTrace(from, to, port); err != nil {
				return err // of usage
			}
			c.running = true
			s, err := c.inspect(cmd.Context(), manifests)
			if err != nil {
				return err
			}
			t, err := s.Trace(q)
			if err != nil {
				return err
			}
			return c.printTrace(cmd.OutOrStdout(), t)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "where the connection begins: NAMESPACE/POD or an address")
	f.StringVar(&to, "to", "", "where it ends: NAMESPACE/POD, an address or service/NAMESPACE/NAME")
	f.StringVar(&port, "port", "", "its destination's port: 443, 53/UDP, http or ICMP")
	f.StringVar(&q.Process, "process", "", "`path` of the program that connects, symlinks resolved")
	f.StringVar(&q.Listener, "listener", "", "`path` of the program that listens, symlinks resolved")
	return c.inspects(cmd, &manifests)
}

func parseTrace(from, to, port string) (source, destination inspect.End, p inspect.Port, err error) {
	if from == "" || to == "" || port == "" {
		return source, destination, p, errors.New("name both ends and the port: --from NAMESPACE/POD --to NAMESPACE/POD --port 443")
	}
	var errs [3]error
	source, errs[0] = inspect.ParseEnd(from)
	destination, errs[1] = inspect.ParseEnd(to)
	p, errs[2] = inspect.ParsePort(port)
	for i, flag := range [...]string{"--from", "--to", "--port"} {
		if errs[i] != nil {
			errs[i] = fmt.Errorf("%s: %w", flag, errs[i])
		}
	}
	if source.Service != (policy.ObjectKey{}) {
		errs[0] = errors.New("--from: a Service begins no connection; write NAMESPACE/POD or an address")
	}
	return source, destination, p, errors.Join(errs[:]...)
}

func (c *command) policyExplain() *cobra.Command {
	var manifests string
	return c.inspects(&cobra.Command{
		Use:   "explain NAMESPACE/POD",
		Short: "Say what a pod may do, and by which rules",
		Long: `Lists the rules that hold for a pod, in the order of asking: of the Admin tier and, where
nothing isolates the pod, of the Baseline tier the first that matches decides; of the kinds
between them each that isolates the pod must allow. Then which programs may run, which
capabilities they may use, and which files are left to some of them.`,
		Example: `  sluice policy explain shop/web
  sluice policy explain shop/web --manifests conf/ -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			end, err := inspect.ParseEnd(args[0])
			if err != nil || end.Pod == (policy.PodKey{}) {
				return fmt.Errorf("%q: write NAMESPACE/POD", args[0])
			}
			c.running = true
			s, err := c.inspect(cmd.Context(), manifests)
			if err != nil {
				return err
			}
			p, err := s.Explain(end.Pod)
			if err != nil {
				return err
			}
			return c.printProfile(cmd.OutOrStdout(), &p)
		},
	}, &manifests)
}

func (c *command) policyLint() *cobra.Command {
	var manifests string
	return c.inspects(&cobra.Command{
		Use:   "lint [FILE|FOLDER|-]...",
		Short: "Find rules without effect, policies that select nothing, and risky ones",
		Long: `Looks at the policies in files, or at those that the agent has where no file is named.
Whether a policy selects anything is told only where Pods are known: those of the files and
of --manifests, whose own policies are not reported on beside files. Exit code 3 if there
are findings.`,
		Example: `  sluice policy lint                            # what the agent has
  sluice policy lint policy.yaml
  sluice policy lint policy.yaml --manifests conf/   # the pods and policies beside it
  generate-policy | sluice policy lint - -o json`,
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			findings, err := c.lint(cmd.Context(), manifests, args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return c.printFindings(cmd.OutOrStdout(), findings)
		}),
	}, &manifests)
}

func (c *command) lint(ctx context.Context, manifests string, files []string, stdin io.Reader) ([]eval.Finding, error) {
	if len(files) == 0 {
		s, err := c.inspect(ctx, manifests)
		if err != nil {
			return nil, err
		}
		return s.Lint(), nil
	}
	objects, err := readOnce(files, stdin)
	if err != nil {
		return nil, err
	}
	ours := make(map[policy.Ref]bool)
	for _, o := range objects {
		ours[o.Ref] = true
	}
	if manifests != "" {
		beside, err := readOnce([]string{manifests}, nil)
		if err != nil {
			return nil, err
		}
		for _, o := range beside {
			if !ours[o.Ref] { // the file's is to take its place
				objects = append(objects, o)
			}
		}
	}
	return slices.DeleteFunc(inspect.New(objects).Lint(), func(f eval.Finding) bool {
		return !ours[policy.Ref(f.Policy)]
	}), nil
}

// inspects adds the flags of a command that inspects policies.
func (c *command) inspects(cmd *cobra.Command, manifests *string) *cobra.Command {
	cmd.Flags().StringVar(manifests, "manifests", "", "`folder` of manifests to read instead of asking the agent")
	return c.reads(c.asks(cmd))
}

// inspect reads a folder of manifests or, without one, asks the agent.
func (c *command) inspect(ctx context.Context, manifests string) (*inspect.Snapshot, error) {
	if manifests == "" {
		return inspect.Ask(ctx, c.client())
	}
	objects, err := readOnce([]string{manifests}, nil)
	if err != nil {
		return nil, err
	}
	return inspect.New(objects), nil
}

// readOnce reads objects. What is broken, or there twice, is refused by the agent, so
// an answer that leaves it out would mislead.
func readOnce(paths []string, stdin io.Reader) ([]*manifest.Object, error) {
	sources, err := readSources(paths, stdin)
	if err != nil {
		return nil, &exitError{exitFailed, err}
	}
	var objects []*manifest.Object
	var errs []error
	first := make(map[policy.Ref]string)
	for _, o := range sources {
		if from, again := first[o.Ref]; again {
			errs = append(errs, fmt.Errorf("%s: %s stands in %s already; remove one of the two", o.from, o.Ref, from))
			continue
		}
		first[o.Ref] = o.from
		objects = append(objects, o.Object)
	}
	return objects, errors.Join(errs...)
}
