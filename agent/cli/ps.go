// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-io/sluice/agent/rpc"
)

func (c *command) ps() *cobra.Command {
	return c.reads(c.asks(&cobra.Command{
		Use:   "ps NAMESPACE/POD",
		Short: "Show the processes of a pod as a tree, with their programs and credentials",
		Long: `Shows what runs in a pod now: process ids as the node has them, effective user ids and
capabilities as they are at the moment, the program's path as its container has it.
-o json has all that is known: {"items": []}.`,
		Example: `  sluice ps shop/checkout
  sluice ps shop/checkout -o json | jq '.items[].process | {path, credentials}'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completePods,
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if namespace, name, ok := strings.Cut(args[0], "/"); !ok || namespace == "" || name == "" {
				return &exitError{exitUsage, fmt.Errorf("%q: write NAMESPACE/POD", args[0])}
			}
			list, err := c.client().Processes(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.output == formatJSON {
				return printJSON(cmd.OutOrStdout(), items[rpc.Running]{list})
			}
			t := table{{"PID", "PARENT", "UID", "CAPABILITIES", "EXEC ID", "CONTAINER", "PROCESS"}}
			for _, b := range tree(list) {
				p := &b.Process
				t.add(number(p.PID), number(p.ParentPID), number(p.UID), brief(p.Credentials), p.ExecID, p.Container,
					b.indent+commandLine(p))
			}
			return t.print(cmd.OutOrStdout())
		}),
	}))
}

// completePods gives the pods of the node that is asked.
func (c *command) completePods(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if err := fromEnvironment(cmd.Flags()); err != nil { // completion runs no hooks
		return nil, cobra.ShellCompDirectiveError
	}
	pods, err := c.client().Pods(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for _, p := range pods {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// commandLine is the program and what it was given beside its own name.
func commandLine(p *rpc.Process) string {
	words := []string{p.Path}
	if p.Interpreter != "" && p.Interpreter != p.Path {
		words = append(words, "("+p.Interpreter+")")
	}
	if len(p.Args) > 1 {
		words = append(words, p.Args[1:]...)
	}
	if p.Truncated {
		words = append(words, "…")
	}
	return strings.Join(words, " ")
}

// briefly is how many capabilities a table names.
const briefly = 3

// brief names the first capabilities in effect, and counts the others.
func brief(c *rpc.Credentials) string {
	if c == nil || len(c.Effective) == 0 {
		return ""
	}
	shown := c.Effective[:min(briefly, len(c.Effective))]
	out := strings.Join(shown, ",")
	if rest := len(c.Effective) - len(shown); rest > 0 {
		out += fmt.Sprintf(",+%d", rest)
	}
	return out
}

// branch is a process in its place in a tree.
type branch struct {
	rpc.Running
	indent string
}

// tree orders processes so that each comes after its parent; those whose parent is not
// among them are its roots.
func tree(list []rpc.Running) []branch {
	slices.SortFunc(list, func(a, b rpc.Running) int { return cmp.Compare(a.Process.PID, b.Process.PID) })
	here := make(map[uint32]bool, len(list))
	children := make(map[uint32][]rpc.Running)
	for _, r := range list {
		here[r.Process.PID] = true
	}
	const root = 0 // no process's id
	for _, r := range list {
		parent := r.Process.ParentPID
		if !here[parent] {
			parent = root
		}
		children[parent] = append(children[parent], r)
	}
	out := make([]branch, 0, len(list))
	var grow func(parent uint32, indent string)
	grow = func(parent uint32, indent string) {
		for i, r := range children[parent] {
			twig, next := "├─ ", "│  "
			switch {
			case parent == root:
				twig, next = "", ""
			case i == len(children[parent])-1:
				twig, next = "└─ ", "   "
			}
			out = append(out, branch{r, indent + twig})
			grow(r.Process.PID, indent+next)
		}
	}
	grow(root, "")
	return out
}
