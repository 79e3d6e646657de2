// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-io/sluice/agent/rpc"
)

func (c *command) get() *cobra.Command {
	return c.reads(c.asks(&cobra.Command{
		Use:   "get pods|policies|objects",
		Short: "List the pods of this node, its policies or every object",
		Example: `  sluice get pods
  sluice get policies -o json      # {"items": [...]}
  sluice get objects -o json       # as they were applied`,
		ValidArgs: []string{"pods", "policies", "objects"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "pods":
				return c.getPods(cmd)
			case "policies":
				return c.getPolicies(cmd)
			}
			return c.getObjects(cmd)
		}),
	}))
}

func (c *command) getPods(cmd *cobra.Command) error {
	pods, err := c.client().Pods(cmd.Context())
	if err != nil {
		return err
	}
	if c.output == formatJSON {
		return printJSON(cmd.OutOrStdout(), items[rpc.Pod]{pods})
	}
	t := table{{"NAMESPACE", "NAME", "STATE", "IPS", "POLICIES"}}
	for _, p := range pods {
		t.add(p.Namespace, p.Name, p.State, joinIPs(p.IPs), strings.Join(p.Policies, ","))
	}
	return t.print(cmd.OutOrStdout())
}

func joinIPs(ips []netip.Addr) string {
	list := make([]string, len(ips))
	for i, ip := range ips {
		list[i] = ip.String()
	}
	return strings.Join(list, ",")
}

func (c *command) getPolicies(cmd *cobra.Command) error {
	status, err := c.client().Status(cmd.Context())
	if err != nil {
		return err
	}
	if c.output == formatJSON {
		return printJSON(cmd.OutOrStdout(), items[rpc.PolicyStatus]{status.Policies})
	}
	return printPolicies(cmd.OutOrStdout(), status.Policies)
}

func printPolicies(w io.Writer, policies []rpc.PolicyStatus) error {
	t := table{{"KIND", "NAMESPACE", "NAME", "STATE", "RULES", "REASON"}}
	for _, p := range policies {
		var rules, reasons []string
		if p.Reason != "" {
			reasons = append(reasons, p.Reason)
		}
		for _, r := range p.Rules {
			name := fmt.Sprintf("%s%s[%d]", r.Direction, r.Section, r.Index)
			rules = append(rules, name+":"+r.Outcome)
			if r.Note != "" {
				reasons = append(reasons, name+": "+r.Note)
			}
		}
		t.add(p.Kind, p.Namespace, p.Name, p.State, strings.Join(rules, " "), strings.Join(reasons, "; "))
	}
	return t.print(w)
}

func (c *command) getObjects(cmd *cobra.Command) error {
	objects := []json.RawMessage{}
	t := table{{"KIND", "NAMESPACE", "NAME"}}
	for _, kind := range kinds {
		list, err := c.client().List(cmd.Context(), string(kind.name))
		if err != nil {
			return err
		}
		objects = append(objects, list...)
		for _, o := range list {
			var meta struct {
				Metadata struct{ Namespace, Name string }
			}
			if err := json.Unmarshal(o, &meta); err != nil {
				return fmt.Errorf("read answer: %w", err)
			}
			t.add(string(kind.name), meta.Metadata.Namespace, meta.Metadata.Name)
		}
	}
	if c.output == formatJSON {
		return printJSON(cmd.OutOrStdout(), items[json.RawMessage]{objects})
	}
	return t.print(cmd.OutOrStdout())
}
