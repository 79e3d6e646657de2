// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/test/harness"
)

const (
	podsHere   = 100 // pods under which a change is measured
	alone      = 20  // ADDs one by one
	together   = 20  // ADDs at once
	changes    = 300
	execs      = 400
	execRounds = 9
)

// pods measures what needs an agent and pods through libcni.
func pods(ctx context.Context, f figures, bin string) (err error) {
	n, err := harness.NewNode(harness.Config{
		CNIPath: []string{bin, filepath.Join(bin, "cni")}, Agent: filepath.Join(bin, "sluice"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if _, err := n.StartAgent(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context, figures, *harness.Node) error{adds, atOnce, change, execCost, callCosts} {
		if err := step(ctx, f, n); err != nil {
			return err
		}
	}
	return nil
}

// adds measures ADD of one pod at a time: the whole chain, and within it the part
// of sluice-cni, which is what the chain costs more than without it.
func adds(ctx context.Context, f figures, n *harness.Node) error {
	var chain, own []float64
	for range alone {
		p, err := n.NewPod(harness.PodSpec{})
		if err != nil {
			return err
		}
		begin := time.Now()
		if err := p.Add(ctx); err != nil {
			return err
		}
		chain = append(chain, ms(time.Since(begin)))
		if err := n.DelLast(ctx, p); err != nil {
			return err
		}
		begin = time.Now()
		if err := n.AddLast(ctx, p); err != nil {
			return err
		}
		own = append(own, ms(time.Since(begin)))
		if err := n.DelPod(ctx, p); err != nil {
			return err
		}
	}
	f.add("add_ms_p50", median(own), "ms")
	f.add("add_chain_ms_p50", median(chain), "ms")
	return nil
}

// atOnce measures ADD of many pods at the same time, until the last is done.
func atOnce(ctx context.Context, f figures, n *harness.Node) error {
	var list []*harness.Pod
	for range together {
		p, err := n.NewPod(harness.PodSpec{})
		if err != nil {
			return err
		}
		list = append(list, p)
	}
	begin := time.Now()
	if err := each(list, func(p *harness.Pod) error { return p.Add(ctx) }); err != nil {
		return err
	}
	f.add("add_20_ms", ms(time.Since(begin)), "ms")
	return nil
}

func each(list []*harness.Pod, do func(*harness.Pod) error) error {
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, p := range list {
		wg.Go(func() { errs[i] = do(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// change measures a PUT until it answers, which is when the change is in force on
// every pod here.
func change(ctx context.Context, f figures, n *harness.Node) error {
	for len(n.Pods()) < podsHere {
		if _, err := n.AddPod(ctx, harness.PodSpec{}); err != nil {
			return err
		}
	}
	var all []float64
	for i := range changes {
		begin := time.Now()
		if _, err := n.Client().Put(ctx, "NetworkPolicy", "default", "bench", policyFor(i)); err != nil {
			return err
		}
		all = append(all, ms(time.Since(begin)))
	}
	slices.Sort(all)
	f.add("change_ms_p50", all[len(all)/2], "ms")
	f.add("change_ms_p99", all[len(all)*99/100], "ms")
	_, err := n.Client().Delete(ctx, "NetworkPolicy", "default", "bench")
	return err
}

// policyFor is another policy for all pods each time.
func policyFor(i int) []byte {
	return fmt.Appendf(nil, `{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
"metadata": {"namespace": "default", "name": "bench"},
"spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": %d}]}]}}`, 1000+i)
}

// execCost is the sum of the mean run times of the process programs while a pod
// starts processes, by the kernel's own statistics: of some rounds the median, since
// the statistics count what the machine does to others meanwhile.
func execCost(ctx context.Context, f figures, n *harness.Node) error {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("enable run-time statistics: %w", err)
	}
	defer stats.Close()
	byProgram := make(map[string][]float64)
	var sums []float64
	for range execRounds {
		means, err := execRound(ctx, n)
		if err != nil {
			return err
		}
		var sum float64
		for name, us := range means {
			byProgram[name] = append(byProgram[name], us)
			if name != scriptProgram { // exec_us is fork, exec and exit
				sum += us
			}
		}
		sums = append(sums, sum)
	}
	for name, all := range byProgram {
		f.add(strings.TrimPrefix(name, "proc_")+"_program_us", median(all), "us")
	}
	f.add("exec_us", median(sums), "us")
	return nil
}

// scriptProgram tells scripts from their interpreters, at each exec too.
const scriptProgram = "script_exec"

// execRound gives the mean run time of each process program, in microseconds.
func execRound(ctx context.Context, n *harness.Node) (map[string]float64, error) {
	before, err := runTimes(n)
	if err != nil {
		return nil, err
	}
	p := n.Pods()[0]
	shell := fmt.Sprintf("i=0; while [ $i -lt %d ]; do /bin/true; i=$((i+1)); done", execs)
	if out, err := p.Command(ctx, "/bin/sh", "-c", shell).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("start processes: %w: %s", err, out)
	}
	after, err := runTimes(n)
	if err != nil {
		return nil, err
	}
	means := make(map[string]float64)
	for name, a := range after {
		if runs := a.runs - before[name].runs; runs > 0 {
			means[name] = float64((a.time - before[name].time).Nanoseconds()) / float64(runs) / 1000
		}
	}
	return means, nil
}

type runTime struct {
	time time.Duration
	runs uint64
}

// runTimes reads the statistics of the node's process programs.
func runTimes(n *harness.Node) (map[string]runTime, error) {
	out := make(map[string]runTime)
	for _, name := range []string{"proc_fork", "proc_exec", "proc_exit", scriptProgram} {
		l, err := link.LoadPinnedLink(state.Dir(n.Bpffs).Link(name), nil)
		if err != nil {
			return nil, fmt.Errorf("open link %s: %w", name, err)
		}
		info, err := l.Info()
		l.Close()
		if err != nil {
			return nil, fmt.Errorf("read link %s: %w", name, err)
		}
		p, err := ebpf.NewProgramFromID(info.Program)
		if err != nil {
			return nil, fmt.Errorf("open program %s: %w", name, err)
		}
		stats, err := p.Stats()
		p.Close()
		if err != nil {
			return nil, fmt.Errorf("read statistics of %s: %w", name, err)
		}
		out[name] = runTime{stats.Runtime, stats.RunCount}
	}
	return out, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
