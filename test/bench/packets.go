// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"

	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/policy"
)

const (
	cycle      = 4096   // addresses that the frames go round
	runs       = 200000 // of a program for one sample
	samples    = 9      // the median counts
	newRuns    = 2500   // each makes a flow and an event
	newSamples = 31
	maxRules   = 1000 // of the denied frames' pod, each a policy of its own
)

// roomy has no bound that a lane could meet.
var roomy = door.Config{HalfOpen: 1 << 20, Open: 1 << 20, Denied: 1 << 20}

// packets measures ns per frame. All figures come behind the same cycler, whose
// own cost, taken as the difference of a nop with and without it, is taken off.
func packets(ctx context.Context, f figures, _ string) error {
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	base, err := floors(f)
	if err != nil {
		return err
	}
	if err := allowed(f, base); err != nil {
		return err
	}
	// Denials whose record finds no place are judged from scratch each time.
	none := door.Config{Denied: 1}
	for _, m := range []struct {
		name string
		of   func(peers, policies, port int) (*policy.Cluster, error)
		n    int
		door door.Config
	}{
		{"denied_10_ns", peerCluster, 10, none},
		{"denied_1000_ns", peerCluster, 1000, none},
		{"denied_60000_ns", peerCluster, 60000, none},
		{"denied_cidr_60000_ns", cidrCluster, 60000, none},
		{"denied_again_ns", peerCluster, 1000, roomy},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := m.of(m.n, min(m.n, maxRules), 5000)
		if err != nil {
			return err
		}
		if err := denied(f, m.name, base, c, m.door); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// floors gives the cost of the cycler.
func floors(f figures) (_ float64, err error) {
	l, err := newLane(emptyCluster(), door.Config{}, false)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var plain []float64
	for range samples {
		_, d, err := l.floor.Programs["nop"].Benchmark(l.frame, runs, nil)
		if err != nil {
			return 0, fmt.Errorf("run nop: %w", err)
		}
		plain = append(plain, float64(d.Nanoseconds()))
	}
	nop := median(plain)
	behind, err := l.sample(l.floor.Programs["nop"])
	if err != nil {
		return 0, err
	}
	base := behind - nop
	f.add("nop_ns", nop, "ns")
	lru, err := l.sample(l.floor.Programs["lru"])
	if err != nil {
		return 0, err
	}
	f.add("lru_ns", lru-base, "ns")
	return base, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// allowed measures flows that the rules allow: known ones, new ones, and new ones
// that find the table full of another pod's.
func allowed(f figures, base float64) error {
	for _, m := range []struct {
		name    string
		fresh   bool
		measure func(*lane) (float64, error)
	}{
		{"established_ns", false, func(l *lane) (float64, error) { return l.sample(l.out) }},
		{"new_allowed_ns", true, (*lane).sampleNew},
		{"new_allowed_full_ns", true, func(l *lane) (float64, error) {
			if err := l.fill(); err != nil {
				return 0, err
			}
			return l.sample(l.out) // none is entered, none told
		}},
	} {
		c, err := peerCluster(cycle, 1, 80)
		if err != nil {
			return err
		}
		if err := measureOn(f, m.name, base, c, roomy, m.fresh, m.measure); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

func denied(f figures, name string, base float64, c *policy.Cluster, flows door.Config) error {
	return measureOn(f, name, base, c, flows, flows != roomy, func(l *lane) (float64, error) { return l.sample(l.out) })
}

// measureOn measures on a lane of its own.
func measureOn(f figures, name string, base float64, c *policy.Cluster, flows door.Config, fresh bool,
	measure func(*lane) (float64, error)) (err error) {
	l, err := newLane(c, flows, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	ns, err := measure(l)
	if err != nil {
		return err
	}
	f.add(name, ns-base, "ns")
	return nil
}
