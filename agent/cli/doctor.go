// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// Report is what trial loads on this node showed.
type Report struct {
	Kernel string `json:"kernel"`
	Tier   string `json:"tier"` // full or no-LSM
	Rows   []Row  `json:"capabilities"`
}

// Row is one capability of the node.
type Row struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"` // without it nothing can be enforced
	Gives    string `json:"gives"`    // what it can prevent, kill or only see
	Reason   string `json:"reason"`   // the kernel's, if not OK
}

// BelowFloor is true if something is missing that Sluice cannot do without.
func (r *Report) BelowFloor() bool {
	for _, row := range r.Rows {
		if row.Required && !row.OK {
			return true
		}
	}
	return false
}

func (c *command) doctor() *cobra.Command {
	var cfg DoctorConfig
	cmd := c.reads(&cobra.Command{
		Use:   "doctor",
		Short: "Try what this node can prevent, kill or only see",
		Long: `Loads one program of each kind and removes it again: what a node can enforce is
found by trial, not by its version. Needs root. Exit code 1: below the floor.`,
		Example: `  sudo sluice doctor
  sudo sluice doctor -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDisable(cfg.Disable); err != nil {
				return err // of usage
			}
			c.running = true
			report, err := c.local.Doctor(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if err := c.printReport(cmd, &report); err != nil {
				return err
			}
			if report.BelowFloor() {
				return errors.New("this node is below the floor: a required capability is missing")
			}
			return nil
		},
	})
	f := cmd.Flags()
	f.StringSliceVar(&cfg.Disable, "disable", nil, disableHelp)
	return cmd
}

func (c *command) printReport(cmd *cobra.Command, r *Report) error {
	if c.output == formatJSON {
		return printJSON(cmd.OutOrStdout(), r)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "kernel %s, tier %s\n\n", safe(r.Kernel), safe(r.Tier))
	t := table{{"CAPABILITY", "HERE", "GIVES", "REASON"}}
	for _, row := range r.Rows {
		here := "yes"
		switch {
		case !row.OK && row.Required:
			here = "MISSING"
		case !row.OK:
			here = "no"
		}
		t.add(row.Name, here, row.Gives, row.Reason)
	}
	return t.print(cmd.OutOrStdout())
}
