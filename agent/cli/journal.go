// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-io/sluice/agent/rpc"
)

func (c *command) flows() *cobra.Command {
	var q rpc.Query
	cmd := c.reads(c.asks(&cobra.Command{
		Use:   "flows",
		Short: "Show flows with their verdict, process and rule",
		Long: `Shows each flow once, as the pod that judged it saw it. With -f each new, denied or
closed flow is printed at once; -o json then prints one object a line, else {"items": []}.`,
		Example: `  sluice flows -f --verdict denied
  sluice flows --pod shop/checkout --since 10m --limit 20
  sluice flows -f -o json | jq .destination`,
		Args: cobra.NoArgs,
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			head := []string{"TIME", "VERDICT", "POD", "DIRECTION", "PROTOCOL", "FLOW", "PROCESS", "RULE"}
			return show(cmd, c.output, q, head, []int{12, 12, 20, 9, 8, 48, 20}, flowRow, c.client().Flows)
		}),
	}))
	cmd.Flags().StringVar(&q.Verdict, "verdict", "", "only allowed, denied or audit-denied ones")
	queryFlags(cmd, &q)
	return cmd
}

func (c *command) events() *cobra.Command {
	var q rpc.Query
	cmd := c.reads(c.asks(&cobra.Command{
		Use:   "events",
		Short: "Show what processes did and what became of it",
		Long: `With -f each event is printed at once; -o json then prints one object a line,
else {"items": []}.`,
		Example: `  sluice events -f --outcome killed
  sluice events --pod shop/checkout --type exec --since 10m
  sluice events --rule WorkloadPolicy/shop/checkout -o json`,
		Args: cobra.NoArgs,
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			head := []string{"TIME", "OUTCOME", "TYPE", "POD", "PID", "PROCESS", "RULE", "DETAIL"}
			return show(cmd, c.output, q, head, []int{12, 8, 10, 20, 7, 32, 32}, eventRow, c.client().Events)
		}),
	}))
	cmd.Flags().StringVar(&q.Type, "type", "", "only of this type: exec, fork, exit, escalation, ...")
	cmd.Flags().StringVar(&q.Outcome, "outcome", "", "only denied, killed, observed or audited ones")
	cmd.Flags().StringVar(&q.Rule, "rule", "", "only those that this `RULE` brought about: KIND/NAMESPACE/NAME[INDEX], NAMESPACE/NAME or NAME")
	queryFlags(cmd, &q)
	return cmd
}

func queryFlags(cmd *cobra.Command, q *rpc.Query) {
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with what happens, until interrupted")
	cmd.Flags().StringVar(&q.Pod, "pod", "", "only of this pod: `NAMESPACE/NAME`")
	cmd.Flags().StringVar(&q.Since, "since", "", "only of this last `duration`, or since an RFC 3339 time")
	cmd.Flags().Var((*count)(&q.Limit), "limit", "only the newest `N` of the past; 0: all")
}

// count is the value of --limit.
type count int

// String is the number.
func (c *count) String() string { return strconv.Itoa(int(*c)) }

// Type describes the flag's value in help.
func (c *count) Type() string { return "number" }

// Set refuses what is no number of entries.
func (c *count) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return errors.New("write a number of entries")
	}
	*c = count(n)
	return nil
}

type ask[T any] func(ctx context.Context, q rpc.Query, each func(T) error, lost func(uint64)) error

// show prints a list as a whole, or line by line when following.
func show[T any](cmd *cobra.Command, f format, q rpc.Query, head []string, widths []int, row func(T) []string, ask ask[T]) error {
	out := cmd.OutOrStdout()
	list, t := []T{}, table{head}
	each := func(entry T) error {
		list = append(list, entry)
		t.add(row(entry)...)
		return nil
	}
	switch {
	case q.Follow && f == formatJSON:
		each = func(entry T) error { return printJSON(out, entry) }
	case q.Follow:
		if err := printFixed(out, head, widths); err != nil {
			return err
		}
		each = func(entry T) error { return printFixed(out, row(entry), widths) }
	}
	err := ask(cmd.Context(), q, each, func(n uint64) {
		fmt.Fprintf(cmd.ErrOrStderr(), "sluice: %d lines lost: read faster, or filter\n", n)
	})
	switch {
	case err != nil || q.Follow:
		return err
	case f == formatJSON:
		return printJSON(out, items[T]{list})
	}
	return t.print(out)
}

// printFixed prints a row whose columns have at least these widths; the last has none.
func printFixed(w io.Writer, cells []string, widths []int) error {
	var b strings.Builder
	for i, cell := range strings.Split(line(cells), "\t") {
		if i < len(widths) {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		} else {
			b.WriteString(cell)
		}
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

func flowRow(f rpc.Flow) []string {
	process, other := f.Source.Process, f.Destination.Process
	if f.Direction == "ingress" {
		process, other = other, process
	}
	if process == nil {
		process = other
	}
	path, rule := "", f.Reason
	if process != nil {
		path = process.Path
	}
	if f.Rule != nil {
		rule = ruleName(f.Rule)
	}
	return []string{clock(f.Time), f.Verdict, podName(f.Pod), f.Direction, f.Protocol,
		endpoint(&f.Source) + " → " + endpoint(&f.Destination), path, rule}
}

func eventRow(e rpc.Event) []string {
	process := e.Process.Path
	if len(e.Process.Args) > 1 {
		process += " " + strings.Join(e.Process.Args[1:], " ")
	}
	rule := ""
	if e.Rule != nil {
		rule = ruleName(e.Rule)
	}
	detail := []string{e.Class, e.Detail}
	if e.ExitCode != nil {
		detail = append(detail, "exit code "+strconv.Itoa(*e.ExitCode))
	}
	if e.Signal != "" {
		detail = append(detail, "signal "+e.Signal)
	}
	return []string{clock(e.Time), e.Outcome, e.Type, podName(e.Pod), strconv.FormatUint(uint64(e.Process.PID), 10),
		process, rule, strings.Join(strings.Fields(strings.Join(detail, " ")), " ")}
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

func podName(p rpc.PodRef) string { return p.Namespace + "/" + p.Name }

func ruleName(r *rpc.Rule) string {
	namespace := r.Namespace
	if namespace == "" {
		namespace = "-"
	}
	return fmt.Sprintf("%s/%s/%s[%d]", r.Kind, namespace, r.Name, r.Index)
}

// endpoint names a pod rather than its address; port 0 is none.
func endpoint(e *rpc.Endpoint) string {
	name := e.Name
	if e.Pod != "" {
		name = e.Namespace + "/" + e.Pod
	}
	switch {
	case name == "" && e.Port == 0:
		return e.IP.String()
	case name == "":
		return netip.AddrPortFrom(e.IP, e.Port).String()
	case e.Port == 0:
		return name
	}
	return name + ":" + strconv.Itoa(int(e.Port))
}
