// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/test/harness"
)

const (
	rateRounds = 40
	exchanges  = 1000 // of a round, over one connection
	connects   = 600  // of a round
	// settle is longer than what a round leaves to the agent to read takes: no other
	// round bears it.
	settle = 50 * time.Millisecond
)

// What is at the pods' doors.
const (
	gated = "gated"
	bare  = "bare"
	nop   = "nop"
)

// lines are two pods that talk to each other.
type lines struct {
	node   *harness.Node
	ends   []*harness.Command
	order  io.WriteCloser
	answer *bufio.Reader
	links  []link.Link
	ns     map[string][]float64
}

// rates compares them with a processor for each end, and with one for both, where
// every instruction counts.
func rates(ctx context.Context, f figures, bin string) error {
	if err := compare(ctx, f, bin, "", "0"); err != nil {
		return err
	}
	return compare(ctx, f, bin, "_one_cpu", clientCPU())
}

// clientCPU is the last processor.
func clientCPU() string { return strconv.Itoa(runtime.NumCPU() - 1) }

// compare compares three nodes, each with a pair of pods through the real conflist:
// on one every pod is isolated and may reach the others, on the next sluice-cni lets
// pods through, since no agent ever ran there, and nothing is attached; on the last
// programs that do nothing are attached where the door's would be. The rounds take
// turns, each first in its turn.
func compare(ctx context.Context, f figures, bin, suffix, serverCPU string) (err error) {
	var pairs []*lines
	defer func() {
		for _, p := range pairs {
			err = errors.Join(err, p.close())
		}
	}()
	for _, kind := range []string{gated, bare, nop} {
		p, err := newLines(bin)
		if err != nil {
			return err
		}
		pairs = append(pairs, p)
		if kind == gated {
			if err := p.gate(ctx); err != nil {
				return err
			}
		}
		if err := p.start(ctx, serverCPU); err != nil {
			return err
		}
		if kind == nop {
			if err := p.attachNop(); err != nil {
				return err
			}
		}
	}
	for i := range rateRounds + 1 {
		for _, what := range []string{"rr", "crr"} {
			for j := range pairs {
				if err := pairs[(i+j)%len(pairs)].round(what, i > 0); err != nil {
					return err
				}
			}
		}
	}
	with, without, idle := pairs[0].ns, pairs[1].ns, pairs[2].ns
	for what, n := range map[string]float64{"rr": exchanges, "crr": connects} {
		f.add(what+suffix+"_us", median(slices.Clone(with[what]))/n/1000, "us")
		all := ratios(without[what], with[what])
		f.add(what+suffix+"_ratio", median(all), "")
		f.add(what+suffix+"_ratio_q1", all[len(all)/4], "")
		f.add(what+suffix+"_ratio_q3", all[len(all)*3/4], "")
		f.add(what+suffix+"_nop_ratio", median(ratios(without[what], idle[what])), "")
	}
	return nil
}

// ratios compares round by round, since what else the machine does changes from one to
// the next; in order.
func ratios(without, with []float64) []float64 {
	all := make([]float64, len(with))
	for i := range all {
		all[i] = without[i] / with[i]
	}
	slices.Sort(all)
	return all
}

func newLines(bin string) (*lines, error) {
	n, err := harness.NewNode(harness.Config{
		CNIPath: []string{bin, filepath.Join(bin, "cni")}, Agent: filepath.Join(bin, "sluice"),
		Entry: map[string]any{"failurePolicy": "Open"},
	})
	if err != nil {
		return nil, err
	}
	return &lines{node: n, ns: make(map[string][]float64)}, nil
}

// gate starts the agent and isolates all pods to come.
func (l *lines) gate(ctx context.Context) error {
	if _, err := l.node.StartAgent(ctx); err != nil {
		return err
	}
	_, err := l.node.Client().Put(ctx, "NetworkPolicy", "default", "bench", []byte(`{"apiVersion": "networking.k8s.io/v1",
"kind": "NetworkPolicy", "metadata": {"namespace": "default", "name": "bench"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
"ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 5201, "endPort": 5204}]}],
"egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 5201, "endPort": 5204}]}]}}`))
	return err
}

// attachNop puts a program that does nothing where a pod's door would be, both ways.
func (l *lines) attachNop() error {
	spec, err := loadFloor()
	if err != nil {
		return fmt.Errorf("read floor: %w", err)
	}
	p, err := ebpf.NewProgram(spec.Programs["nop"])
	if err != nil {
		return fmt.Errorf("load nop: %w", err)
	}
	defer p.Close()
	return l.node.Do(func() error {
		for _, pod := range l.node.Pods() {
			for _, i := range pod.Result.Interfaces {
				if i.Sandbox != "" || !strings.HasPrefix(i.Name, "veth") {
					continue
				}
				if err := l.attach(p, i.Name); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (l *lines) attach(p *ebpf.Program, name string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	for _, hook := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		at, err := link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: p, Attach: hook})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", name, err)
		}
		l.links = append(l.links, at)
	}
	return nil
}

// start makes the pods, server and client.
func (l *lines) start(ctx context.Context, serverCPU string) error {
	server, err := l.node.AddPod(ctx, harness.PodSpec{})
	if err != nil {
		return err
	}
	client, err := l.node.AddPod(ctx, harness.PodSpec{})
	if err != nil {
		return err
	}
	at := server.IPv4().String() + ":5201"
	if err := l.run(ctx, server, serverCPU, "server", at); err != nil {
		return err
	}
	return l.run(ctx, client, clientCPU(), "client", at)
}

// run starts one end in a pod, bound to a processor, and waits until it is ready. The last one started is the client.
func (l *lines) run(ctx context.Context, p *harness.Pod, cpu string, args ...string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := p.Command(ctx, "taskset", append([]string{"-c", cpu, program, "talk"}, args...)...)
	cmd.Stderr = os.Stderr
	if l.order, err = cmd.StdinPipe(); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	l.ends = append(l.ends, cmd)
	l.answer = bufio.NewReader(out)
	if _, err := l.answer.ReadString('\n'); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	return nil
}

// round has the client make some exchanges; the first round only warms up.
func (l *lines) round(what string, counts bool) error {
	n := exchanges
	if what == "crr" {
		n = connects
	}
	var ns float64
	if _, err := fmt.Fprintln(l.order, what, n); err != nil {
		return fmt.Errorf("order a round: %w", err)
	}
	if _, err := fmt.Fscanln(l.answer, &ns); err != nil {
		return fmt.Errorf("read the answer to a round: %w", err)
	}
	if counts {
		l.ns[what] = append(l.ns[what], ns)
	}
	time.Sleep(settle)
	return nil
}

// close ends both ends with the node.
func (l *lines) close() error {
	for _, at := range l.links {
		at.Close()
	}
	err := l.node.Close()
	for _, end := range l.ends {
		_ = end.Wait() // killed
	}
	return err
}
