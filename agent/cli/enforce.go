// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-io/sluice/agent/rpc"
)

func (c *command) enforce() *cobra.Command {
	var span time.Duration
	cmd := &cobra.Command{
		Use:   "enforce off|on",
		Short: "Let everything through on this node for a while, or end that",
		Long: `Break-glass: "off" lets every frame, socket call and process of this node through,
whatever the policies say. What would have been denied is reported as audit-denied, and
counted. The kernel ends it by itself when the time is over, also while no agent runs.`,
		Example: `  sluice enforce off --for 10m
  sluice enforce on`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"off", "on"},
		RunE: func(cmd *cobra.Command, args []string) error {
			off := args[0] == "off"
			if off && (span <= 0 || span > rpc.MaxOff) {
				return fmt.Errorf("--for: %s: write a duration above 0 and up to %s", span, rpc.MaxOff)
			}
			if !off && cmd.Flags().Changed("for") {
				return fmt.Errorf("--for goes with off alone")
			}
			c.running = true
			want := rpc.Enforcement{Off: off}
			if off {
				want.For = span.String()
			}
			now, err := c.client().SetEnforcement(cmd.Context(), want)
			if err != nil {
				return err
			}
			if now.Off {
				fmt.Fprintf(cmd.OutOrStdout(), "enforcement is OFF on this node for %s\n", now.For)
			} else {
				fmt.Fprintln(cmd.OutOrStdout(), "enforcement is on")
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&span, "for", 10*time.Minute, "how long off lasts")
	return c.asks(cmd)
}
