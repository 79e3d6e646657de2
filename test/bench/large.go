// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

const largeChanges = 200

// large measures the agent under the large load.
func large(ctx context.Context, f figures, bin string) (err error) {
	n, err := harness.NewNode(harness.Config{
		CNIPath: []string{bin, filepath.Join(bin, "cni")}, Agent: filepath.Join(bin, "sluice"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	a, err := n.StartAgent(ctx)
	if err != nil {
		return err
	}
	empty, err := footprints(n)
	if err != nil {
		return err
	}
	if err := addLocal(ctx, n); err != nil {
		return err
	}
	// The agent starts again with a load of which it has never seen anything: the
	// pods are there, and all ids, rule sets and addresses are new.
	if err := a.Terminate(); err != nil {
		return err
	}
	if err := writeLoad(n); err != nil {
		return err
	}
	begin := time.Now()
	if a, err = n.StartAgent(ctx); err != nil {
		return err
	}
	f.add("start_ms", ms(time.Since(begin)), "ms")
	if err := largeChange(ctx, f, n); err != nil {
		return err
	}
	rss, err := residentBytes(a.PID())
	if err != nil {
		return err
	}
	f.add("agent_rss_bytes", rss, "B")
	return memory(f, n, empty)
}

// addLocal attaches the pods of this node, some at a time.
func addLocal(ctx context.Context, n *harness.Node) error {
	var list []*harness.Pod
	for i := range localPods {
		p, err := n.NewPod(localPod(i))
		if err != nil {
			return err
		}
		list = append(list, p)
	}
	for some := range slices.Chunk(list, together) {
		if err := each(some, func(p *harness.Pod) error { return p.Add(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// largeChange measures a PUT of one policy's port until it answers.
func largeChange(ctx context.Context, f figures, n *harness.Node) error {
	var all []float64
	for i := range applied + largeChanges {
		app := i % applied
		begin := time.Now()
		_, err := n.Client().Put(ctx, "NetworkPolicy", namespaceOf(app), fmt.Sprintf("np%d", app), loadPolicy(app, 9000+i))
		if err != nil {
			return err
		}
		if i >= applied { // the first of each adds it
			all = append(all, ms(time.Since(begin)))
		}
	}
	slices.Sort(all)
	f.add("change_large_ms_p50", all[len(all)/2], "ms")
	f.add("change_large_ms_p99", all[len(all)*99/100], "ms")
	return nil
}

// residentBytes is the memory of a process that is in RAM.
func residentBytes(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of the agent: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			return kb * 1024, nil
		}
	}
	return 0, errors.New("read memory of the agent: no VmRSS")
}
