// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

var self = netip.MustParseAddr("10.1.0.2")

// peer is the i-th address that the cycler sends to.
func peer(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 64 + byte(i>>16), byte(i >> 8), byte(i)})
}

// lane is a datapath of its own with one pod in it, whose rules came the way they
// come to a user: compiled, and brought to the kernel by datapath.Apply.
type lane struct {
	dir   string
	dp    *datapath.Datapath
	out   *ebpf.Program // as the plugin attaches it
	floor *ebpf.Collection
	frame []byte
}

// newLane puts the policies of c in force on the pod "self", which is added to it.
func newLane(c *policy.Cluster, flows door.Config, freshPorts bool) (_ *lane, err error) {
	l := new(lane)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return nil, fmt.Errorf("make pin folder: %w", err)
	}
	l.dp, err = datapath.Open(datapath.Config{BPFFS: l.dir, Flows: flows, NoNetfilter: true, NoScripts: true})
	if err != nil {
		return nil, err
	}
	if l.out, err = ebpf.LoadPinnedProgram(state.Dir(l.dir).Prog("door_out"), nil); err != nil {
		return nil, fmt.Errorf("open door: %w", err)
	}
	if err := l.loadFloor(freshPorts); err != nil {
		return nil, err
	}
	if l.frame, err = (bpftest.Frame{
		Src: self, Dst: peer(0), Protocol: 6, SrcPort: 1000, DstPort: 80, ACK: true, Payload: make([]byte, 64),
	}).Build(); err != nil {
		return nil, err
	}
	return l, l.enforce(c)
}

func (l *lane) loadFloor(freshPorts bool) error {
	spec, err := loadFloor()
	if err != nil {
		return fmt.Errorf("read floor: %w", err)
	}
	if freshPorts {
		if err := spec.Variables["fresh_ports"].Set(uint32(1)); err != nil {
			return fmt.Errorf("configure cycler: %w", err)
		}
	}
	l.floor, err = l.dp.State().Load(spec)
	return err
}

func (l *lane) enforce(c *policy.Cluster) error {
	key := policy.PodKey{Namespace: "default", Name: "self"}
	c.Pods[key] = policy.Pod{PodKey: key, IPs: []netip.Addr{self}}
	p := state.Pod{IfIndex: 1, Cookie: 1, Addrs: []netip.Addr{self}}
	if err := l.dp.State().Register(&p); err != nil {
		return err
	}
	img, err := compile.New(new(compile.IDs)).Compile(compile.Input{Cluster: c, Local: []policy.PodKey{key}})
	if err != nil {
		return err
	}
	return l.dp.Apply(datapath.Desired{Image: img, Rules: map[uint32]state.RawAssignment{
		p.Slot: {Pod: p.ID, Ruleset: img.Pods[key]},
	}})
}

// close may be called on a lane that is half made.
func (l *lane) close() error {
	if l.floor != nil {
		l.floor.Close()
	}
	if l.out != nil {
		l.out.Close()
	}
	if l.dp == nil {
		return os.RemoveAll(l.dir)
	}
	if err := errors.Join(l.dp.Close(), datapath.Uninstall(l.dir)); err != nil {
		return err
	}
	return os.RemoveAll(l.dir) // empty, if it is still there
}

// run gives the mean time of one run behind the cycler.
func (l *lane) run(p *ebpf.Program, n uint32) (float64, error) {
	if err := l.floor.Maps["measured"].Put(uint32(0), p); err != nil {
		return 0, fmt.Errorf("choose program: %w", err)
	}
	_, d, err := l.floor.Programs["cycler"].Benchmark(l.frame, int(n), nil)
	if err != nil {
		return 0, fmt.Errorf("run program: %w", err)
	}
	return float64(d.Nanoseconds()), nil
}

// sample is the median over samples, after one run to warm up.
func (l *lane) sample(p *ebpf.Program) (float64, error) {
	var all []float64
	for i := range samples + 1 {
		ns, err := l.run(p, runs)
		if err != nil {
			return 0, err
		}
		if i > 0 {
			all = append(all, ns)
		}
	}
	return median(all), nil
}

// sampleNew is sample for frames of which each is told on the ring of flows: so
// few at a time that all find room, and the ring is read in between.
func (l *lane) sampleNew() (float64, error) {
	ring, err := ringbuf.NewReader(l.dp.State().FlowRing)
	if err != nil {
		return 0, fmt.Errorf("open ring: %w", err)
	}
	defer ring.Close()
	var all []float64
	for range newSamples {
		ns, err := l.run(l.out, newRuns)
		if err != nil {
			return 0, err
		}
		all = append(all, ns)
		if err := drain(ring); err != nil {
			return 0, err
		}
	}
	return median(all), nil
}

func drain(ring *ringbuf.Reader) error {
	ring.SetDeadline(time.Now().Add(-time.Second)) // what is there, and no more
	for {
		if _, err := ring.Read(); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read ring: %w", err)
		}
	}
}

// fill fills the flow table with the flows of another pod.
func (l *lane) fill() error {
	flows := l.dp.State().Flows
	const chunk = 4096
	keys, values := make([]state.RawFlowKey, chunk), make([]state.RawFlow, chunk)
	for from := 0; from < int(flows.MaxEntries()); from += chunk {
		n := min(chunk, int(flows.MaxEntries())-from)
		for i := range n {
			keys[i] = state.RawFlowKey{Peer: state.AddrKey(peer(from + i)), Ifindex: 2, Protocol: 6}
		}
		if _, err := flows.BatchUpdate(keys[:n], values[:n], nil); err != nil {
			return fmt.Errorf("fill flow table: %w", err)
		}
	}
	return nil
}
