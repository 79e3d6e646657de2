// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"fmt"
	"strings"
)

// Instructions boots a guest in which time passes with the instructions that run, and
// returns the figures that test/insns, built at program, prints there, by name.
func Instructions(ctx context.Context, k Kernel, program string) (map[string]uint64, error) {
	const at = "/opt/insns"
	results, err := Run(ctx, Config{Kernel: k, Files: map[string]string{at: program}, ICount: true},
		Command{Dir: "/tmp", Args: []string{at}})
	if err != nil {
		return nil, err
	}
	if results[0].Status != 0 {
		return nil, fmt.Errorf("insns: status %d: %s", results[0].Status, results[0].Output)
	}
	figures := make(map[string]uint64)
	for line := range strings.Lines(results[0].Output) {
		var name string
		var n uint64
		if _, err := fmt.Sscan(line, &name, &n); err == nil {
			figures[name] = n
		}
	}
	return figures, nil
}
