// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-io/sluice/agent/rpc"
)

func (c *command) status() *cobra.Command {
	return c.reads(c.asks(&cobra.Command{
		Use:   "status",
		Short: "Show what this node enforces, how full it is and what is wrong",
		Example: `  sluice status
  sluice status -o json | jq .policies`,
		Args: cobra.NoArgs,
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			status, err := c.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if c.output == formatJSON {
				return printJSON(cmd.OutOrStdout(), status)
			}
			return printStatus(cmd.OutOrStdout(), &status)
		}),
	}))
}

func printStatus(w io.Writer, s *rpc.Status) error {
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	head := table{
		{"node", s.Node},
		{"version", s.Version},
		{"state", ready + ", enforcement " + s.Enforcement + ", revision " + strconv.FormatUint(s.Revision, 10)},
		{"tier", s.Tier},
		{"pods", counts(s.Pods)},
		{"lost", counts(s.Lost)},
	}
	if err := head.print(w); err != nil {
		return err
	}
	for _, problem := range s.Problems {
		fmt.Fprintln(w, "problem:", safe(problem))
	}
	if len(s.Policies) > 0 {
		fmt.Fprintln(w)
		if err := printPolicies(w, s.Policies); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	t := table{{"MAP", "ENTRIES", "MAX", "REFUSED"}}
	for _, m := range s.Maps {
		t.add(m.Name, strconv.FormatUint(m.Entries, 10), strconv.FormatUint(m.Max, 10), strconv.FormatUint(m.Full, 10))
	}
	return t.print(w)
}

// counts is "2 closed, 7 enforced"; what is 0 is left out.
func counts[N int | uint64](by map[string]N) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if by[name] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", by[name], name))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
