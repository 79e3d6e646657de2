// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/sluice-io/sluice/policy/eval"
)

const onlyReported = "Audit: only reported"

func (c *command) printProfile(w io.Writer, p *eval.Profile) error {
	if c.output == formatJSON {
		return printJSON(w, p)
	}
	fmt.Fprintf(w, "pod %s/%s\n", p.Namespace, p.Name)
	if p.Note != "" {
		fmt.Fprintln(w, "note:", p.Note)
	}
	for _, side := range []struct {
		name string
		eval.Side
	}{{"egress", p.Egress}, {"ingress", p.Ingress}} {
		fmt.Fprintf(w, "\n%s: isolated by %s\n", side.name, joined(names(side.Isolated), "nothing"))
		if len(side.Audited) > 0 {
			fmt.Fprintf(w, "%s: audited by %s\n", side.name, joined(names(side.Audited), "nothing"))
		}
		if err := printRules(w, side.Rules); err != nil {
			return err
		}
		fmt.Fprintln(w, "otherwise", side.Otherwise)
	}
	if err := printActs(w, "exec", "PROGRAM", "PARENTS", p.Exec); err != nil {
		return err
	}
	if err := printActs(w, "capabilities", "CAPABILITIES", "PROGRAMS", p.Capabilities); err != nil {
		return err
	}
	return printFiles(w, p.Files)
}

func names(policies []eval.PolicyName) []string {
	var out []string
	for _, p := range policies {
		out = append(out, p.String())
	}
	return out
}

// joined is a list, or what stands for an empty one.
func joined(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

func printRules(w io.Writer, rules []eval.EffectiveRule) error {
	if len(rules) == 0 {
		return nil
	}
	t := table{{"LAYER", "ACTION", "PEERS", "PORTS", "PROCESSES", "RULE", "NOTE"}}
	for _, r := range rules {
		note := r.Note
		if r.Audit {
			note = strings.TrimPrefix(note+"; "+onlyReported, "; ")
		}
		t.add(r.Layer, string(r.Action), joined(r.Peers, "all"), joined(r.Ports, "all"), joined(r.Processes, "all"), r.Rule.String(), note)
	}
	return t.print(w)
}

// printActs names what entries allow, and by what they may be restricted, in the head.
func printActs(w io.Writer, section, what, by string, acts eval.Acts) error {
	var policies []string
	for _, r := range acts.Restricted {
		policies = append(policies, r.Policy.String()+" ("+restrictionWords(r)+")")
	}
	fmt.Fprintf(w, "\n%s: restricted by %s\n", section, joined(policies, "nothing"))
	if len(policies) == 0 {
		return nil
	}
	if len(acts.Entries) > 0 {
		t := table{{what, by, "POLICY", "NOTE"}}
		for _, e := range acts.Entries {
			t.add(allowedWords(e), joined(e.By, "all"), e.Policy.String(), auditNote(e.Audit))
		}
		if err := t.print(w); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, "otherwise", acts.Otherwise)
	return err
}

func allowedWords(e eval.AllowEntry) string {
	switch {
	case e.Program == "":
		return strings.Join(e.Capabilities, ", ")
	case e.SHA256 != "":
		return e.Program + " with sha256 " + e.SHA256
	}
	return e.Program
}

func printFiles(w io.Writer, rules []eval.GuardedFiles) error {
	if len(rules) == 0 {
		_, err := fmt.Fprint(w, "\nfiles: restricted by nothing\n")
		return err
	}
	t := table{{"FILES", "OPERATIONS", "PROGRAMS", "OTHERS", "RULE"}}
	for _, r := range rules {
		rule := eval.RuleName{PolicyName: r.Policy, Index: r.Index}
		t.add(strings.Join(r.Paths, ", "), strings.Join(r.Operations, ", "), joined(r.Allow, "none"), restrictionWords(r.Restriction), rule.String())
	}
	if _, err := fmt.Fprint(w, "\nfiles: what no rule names is allowed\n"); err != nil {
		return err
	}
	return t.print(w)
}

func restrictionWords(r eval.Restriction) string {
	out := string(r.Action)
	if r.Fallback != "" {
		out += ", without BPF LSM " + string(r.Fallback)
	}
	if r.Audit {
		out += "; " + onlyReported
	}
	return out
}

func auditNote(audit bool) string {
	if audit {
		return onlyReported
	}
	return ""
}
