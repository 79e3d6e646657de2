// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

const (
	cycle   = 4096   // addresses that the frames go round
	runs    = 200000 // of a program for one sample
	samples = 9      // the median counts
	newRuns = 40000  // each makes a flow
	friend  = 7      // class that the rules allow
	foe     = 8      // class that they do not name
	ruleset = 20
)

var self = netip.MustParseAddr("10.1.0.2")

// peer is the i-th address that the cycler sends to.
func peer(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 64 + byte(i>>16), byte(i >> 8), byte(i)})
}

// lane is one set of maps with a pod in it, and the programs to measure.
type lane struct {
	s        *state.State
	measured *ebpf.Map
	door     *ebpf.Collection
	floor    *ebpf.Collection
	frame    []byte
}

func newLane(c door.Config, freshPorts bool) (*lane, error) {
	s, err := state.New()
	if err != nil {
		return nil, err
	}
	l := &lane{s: s}
	if l.door, err = door.Load(s, c); err != nil {
		return nil, err
	}
	spec, err := loadFloor()
	if err != nil {
		return nil, fmt.Errorf("read floor: %w", err)
	}
	if freshPorts {
		if err := spec.Variables["fresh_ports"].Set(uint32(1)); err != nil {
			return nil, fmt.Errorf("configure cycler: %w", err)
		}
	}
	if l.floor, err = s.Load(spec); err != nil {
		return nil, err
	}
	l.measured = l.floor.Maps["measured"]
	if l.frame, err = (bpftest.Frame{
		Src: self, Dst: peer(0), Protocol: 6, SrcPort: 1000, DstPort: 80, ACK: true, Payload: make([]byte, 64),
	}).Build(); err != nil {
		return nil, err
	}
	return l, l.pod()
}

// pod registers the sender, isolated, with one rule for the class of friends.
func (l *lane) pod() error {
	p := state.Pod{IfIndex: 1, Cookie: 1, Addrs: []netip.Addr{self}}
	if err := l.s.Register(&p); err != nil {
		return err
	}
	for _, put := range []struct {
		m    *ebpf.Map
		k, v any
	}{
		{l.s.Rulesets, uint32(ruleset), state.RawRuleset{Active: [8]uint8{state.LayerNetwork: 1, state.Layers + state.LayerNetwork: 1}}},
		{l.s.Edges, state.RawEdge{Ruleset: ruleset, Class: friend, Direction: 1, Layer: state.LayerNetwork}, state.RawPortSet{Id: 40, Lengths: 1 << 16}},
		{l.s.Ports, state.RawPortKey{Set: 40, Protocol: 6, Bits: 16, Port: 80}, state.RawGrant{Rule: 30}},
		{l.s.Rules, p.Slot, state.RawAssignment{Pod: p.ID, Ruleset: ruleset}},
	} {
		if err := put.m.Put(put.k, put.v); err != nil {
			return fmt.Errorf("fill maps: %w", err)
		}
	}
	return nil
}

func (l *lane) close() {
	l.door.Close()
	l.floor.Close()
	l.s.Close()
}

// peers enters n pods of a class.
func (l *lane) peers(n int, class uint32) error {
	keys, values := make([]state.RawAddr, n), make([]uint32, n)
	for i := range keys {
		keys[i], values[i] = state.AddrKey(peer(i)), class
	}
	if _, err := l.s.Peers.BatchUpdate(keys, values, nil); err != nil {
		return fmt.Errorf("enter peers: %w", err)
	}
	return nil
}

// run gives the mean time of one run behind the cycler.
func (l *lane) run(p *ebpf.Program, n uint32) (time.Duration, error) {
	if err := l.measured.Put(uint32(0), p); err != nil {
		return 0, fmt.Errorf("choose program: %w", err)
	}
	ret, d, err := l.floor.Programs["cycler"].Benchmark(l.frame, int(n), nil)
	if err != nil {
		return 0, fmt.Errorf("run program: %w", err)
	}
	_ = ret
	return d, nil
}

// packets measures ns per frame. All figures come behind the same cycler, whose
// own cost, taken as the difference of a nop with and without it, is taken off.
func packets(f figures) error {
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	base, err := floors(f)
	if err != nil {
		return err
	}
	roomy := door.Config{HalfOpen: 1 << 20, Open: 1 << 20, Denied: 1 << 20}
	if err := allowed(f, base, roomy); err != nil {
		return err
	}
	// Denials whose record finds no place are judged from scratch each time.
	for _, n := range []int{10, 1000, 60000} {
		if err := denied(f, fmt.Sprintf("denied_%d_ns", n), base, door.Config{Denied: 1}, n, true); err != nil {
			return err
		}
	}
	return denied(f, "denied_again_ns", base, roomy, 1000, false)
}

// floors gives the cost of the cycler.
func floors(f figures) (float64, error) {
	l, err := newLane(door.Config{}, false)
	if err != nil {
		return 0, err
	}
	defer l.close()
	var plain []float64
	for range samples {
		_, d, err := l.floor.Programs["nop"].Benchmark(l.frame, runs, nil)
		if err != nil {
			return 0, fmt.Errorf("run nop: %w", err)
		}
		plain = append(plain, float64(d.Nanoseconds()))
	}
	nop := median(plain)
	behind, err := l.sample(l.floor.Programs["nop"], runs)
	if err != nil {
		return 0, err
	}
	base := behind - nop
	f.add("nop_ns", nop, "ns")
	lru, err := l.sample(l.floor.Programs["lru"], runs)
	if err != nil {
		return 0, err
	}
	f.add("lru_ns", lru-base, "ns")
	return base, nil
}

// sample is the median over samples, after one run to warm up.
func (l *lane) sample(p *ebpf.Program, n uint32) (float64, error) {
	var all []float64
	for i := range samples + 1 {
		d, err := l.run(p, n)
		if err != nil {
			return 0, err
		}
		if i > 0 {
			all = append(all, float64(d.Nanoseconds()))
		}
	}
	return median(all), nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func allowed(f figures, base float64, c door.Config) error {
	l, err := newLane(c, false)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.peers(cycle, friend); err != nil {
		return err
	}
	ns, err := l.sample(l.door.Programs["door_out"], runs)
	if err != nil {
		return err
	}
	f.add("established_ns", ns-base, "ns")

	fresh, err := newLane(c, true)
	if err != nil {
		return err
	}
	defer fresh.close()
	if err := fresh.peers(cycle, friend); err != nil {
		return err
	}
	d, err := fresh.run(fresh.door.Programs["door_out"], newRuns)
	if err != nil {
		return err
	}
	f.add("new_allowed_ns", float64(d.Nanoseconds())-base, "ns")
	return nil
}

func denied(f figures, name string, base float64, c door.Config, n int, freshPorts bool) error {
	l, err := newLane(c, freshPorts)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.peers(n, foe); err != nil {
		return err
	}
	ns, err := l.sample(l.door.Programs["door_out"], runs)
	if err != nil {
		return err
	}
	f.add(name, ns-base, "ns")
	return nil
}
