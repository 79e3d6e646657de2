// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-io/sluice/agent/inspect"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy/eval"
)

func (c *command) printTrace(w io.Writer, t *inspect.Trace) error {
	var err error
	if c.output == formatJSON {
		err = printJSON(w, t)
	} else {
		err = writeTrace(w, t)
	}
	if err == nil && t.Verdict == "denied" {
		err = &exitError{exitDenied, errors.New("denied")}
	}
	return err
}

func writeTrace(w io.Writer, t *inspect.Trace) error {
	var b strings.Builder
	for _, note := range t.Notes {
		fmt.Fprintln(&b, "note:", safe(note))
	}
	for _, p := range t.Paths {
		fmt.Fprintf(&b, "%s → %s %s: %s\n", traceEnd(p.Source), traceEnd(p.Destination), tracePort(p), p.Verdict)
		for _, s := range p.Sides {
			fmt.Fprintf(&b, "\n%s of %s/%s: %s\n", s.Direction, s.Pod.Namespace, s.Pod.Name, s.Why)
			for _, l := range s.Layers {
				writeLayer(&b, l)
			}
		}
		fmt.Fprintln(&b)
	}
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n"))
	return err
}

func traceEnd(e rpc.Endpoint) string {
	switch {
	case e.Pod == "":
		return e.IP.String()
	case e.IP == netip.Addr{}:
		return e.Namespace + "/" + e.Pod
	}
	return e.Namespace + "/" + e.Pod + " (" + e.IP.String() + ")"
}

func tracePort(p inspect.Path) string {
	if p.Destination.Port == 0 {
		return p.Protocol
	}
	return strconv.Itoa(int(p.Destination.Port)) + "/" + p.Protocol
}

func writeLayer(b *strings.Builder, l eval.LayerTrace) {
	fmt.Fprintf(b, "  %s: %s", l.Name, l.Outcome)
	if l.Why != "" {
		fmt.Fprintf(b, " (%s)", l.Why)
	}
	fmt.Fprintln(b)
	for _, p := range l.Policies {
		fmt.Fprintf(b, "    %s", p.PolicyName)
		if p.Priority != nil {
			fmt.Fprintf(b, ", priority %d", *p.Priority)
		}
		if p.Audit {
			fmt.Fprint(b, ", Audit: only reported")
		}
		if len(p.Rules) == 0 {
			fmt.Fprint(b, ", no rules")
		}
		fmt.Fprintln(b)
		for _, r := range p.Rules {
			fmt.Fprintf(b, "      [%d] %s: %s\n", r.Index, r.Action, ruleWords(r))
		}
	}
}

func ruleWords(r eval.RuleTrace) string {
	switch {
	case r.Decided:
		return "matches and decides"
	case r.Matched:
		return "matches"
	}
	return "does not match: " + safe(r.Why)
}

func (c *command) printFindings(w io.Writer, findings []eval.Finding) error {
	if err := c.writeFindings(w, findings); err != nil || len(findings) == 0 {
		return err
	}
	return &exitError{exitFindings, fmt.Errorf("findings: %d", len(findings))}
}

func (c *command) writeFindings(w io.Writer, findings []eval.Finding) error {
	if c.output == formatJSON {
		return printJSON(w, items[eval.Finding]{findings})
	}
	if len(findings) == 0 {
		_, err := fmt.Fprintln(w, "nothing found")
		return err
	}
	t := table{{"SEVERITY", "POLICY", "FIELD", "FINDING"}}
	for _, f := range findings {
		t.add(string(f.Severity), f.Policy.String(), f.Field, f.Message)
	}
	return t.print(w)
}
