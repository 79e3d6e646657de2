// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
)

// Flow takes a flow event of the kernel.
func (e *Engine) Flow(ev state.RawFlowEvent) { e.journal.Flows.Add(e.flow(&ev)) }

// Flows lists the live flows of the kernel's table, in order of their last frame.
func (e *Engine) Flows() []rpc.Flow {
	list, err := e.dp.Flows()
	if err != nil {
		e.log.Error("list flows", "error", err)
	}
	e.dp.Sync() // the names of processes that started just now
	e.wall.compare()
	idle := clock(unix.CLOCK_MONOTONIC) - clock(unix.CLOCK_BOOTTIME)
	out := make([]rpc.Flow, 0, len(list))
	for i := range list {
		f := &list[i].Flow
		ev := state.RawFlowEvent{
			Key: list[i].Key, Pod: f.Judged.Pod, Time: uint64(int64(f.Seen) - int64(idle)), Start: f.Start,
			Packets: f.Packets, Bytes: f.Bytes, Process: f.Process, Rule: f.Rule, Slot: f.Slot,
			Direction: f.Direction, Verdict: f.Verdict, Reason: f.Reason, Phase: state.PhaseUpdate,
			Ruleset: f.Judged.Ruleset, Layer: f.Layer, Behind: f.Behind.Addr, BehindPort: f.Behind.Port,
		}
		if f.Verdict == state.Denied {
			ev.Phase = state.PhaseDenied
		}
		out = append(out, e.flow(&ev))
	}
	slices.SortFunc(out, func(a, b rpc.Flow) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	return out
}

// flow gives names to what the kernel says of a flow.
func (e *Engine) flow(ev *state.RawFlowEvent) rpc.Flow {
	process := e.names.of(ev.Process)
	// The clock that a flow's last frame is told by is coarse.
	last := max(ev.Time, ev.Start)
	at := e.wall.at(last)
	v := &e.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	name := v.podName(ev.Pod)
	mine := rpc.Endpoint{
		Namespace: name.key.Namespace, Pod: name.key.Name,
		IP: ev.Key.Pod.Addr(), Port: state.Port(ev.Key.PodPort), Process: process,
	}
	theirs := v.endpoint(ev.Key.Peer.Addr(), ev.Key.PeerPort)
	if mine.IP.IsUnspecified() { // refused at the socket, before it had an address
		mine.IP = sameFamily(name.ips, theirs.IP)
	}
	proto := policy.Protocol(ev.Key.Protocol)
	if proto == policy.ICMP || proto == policy.ICMPv6 {
		mine.Port, theirs.Port = 0, 0
	}
	f := rpc.Flow{
		ID: flowID(ev), Time: at, StartTime: at.Add(-time.Duration(last - ev.Start)),
		Phase: state.Phase(ev.Phase), Pod: rpc.PodRef{Namespace: name.key.Namespace, Name: name.key.Name},
		Direction: policy.Direction(ev.Direction).String(),
		Verdict:   state.Verdict(ev.Verdict), Reason: state.Reason(ev.Reason), Protocol: protocol(proto),
		Forward: rpc.Counter{Packets: ev.Packets[ev.Direction&1], Bytes: ev.Bytes[ev.Direction&1]},
		Reverse: rpc.Counter{Packets: ev.Packets[^ev.Direction&1], Bytes: ev.Bytes[^ev.Direction&1]},
		Source:  theirs, Destination: mine,
	}
	if policy.Direction(ev.Direction) == policy.Egress {
		f.Source, f.Destination = mine, theirs
	}
	v.cause(&f, ev)
	return f
}

// flowID is the same for every report of one flow: a hash of what does not change, in
// the manner of FNV-1a.
func flowID(ev *state.RawFlowEvent) string {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	add := func(high, low uint32) {
		h = (h ^ uint64(high)<<32 ^ uint64(low)) * prime
		h ^= h >> 32
	}
	k := &ev.Key
	for i := range k.Pod.W {
		add(k.Pod.W[i], k.Peer.W[i])
	}
	add(uint32(k.PodPort)<<16|uint32(k.PeerPort), k.Ifindex)
	add(ev.Pod, uint32(k.Protocol))
	add(uint32(ev.Start>>32), uint32(ev.Start))
	return strconv.FormatUint(h, 16)
}

func sameFamily(ips []netip.Addr, as netip.Addr) netip.Addr {
	for _, ip := range ips {
		if ip.Is4() == as.Is4() {
			return ip
		}
	}
	return as
}

func protocol(p policy.Protocol) string {
	switch p {
	case policy.TCP:
		return "TCP"
	case policy.UDP:
		return "UDP"
	case policy.SCTP:
		return "SCTP"
	case policy.ICMP:
		return "ICMP"
	case policy.ICMPv6:
		return "ICMPv6"
	}
	return strconv.Itoa(int(p))
}

// clock reads a kernel clock, in nanoseconds.
func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// wallClock turns CLOCK_BOOTTIME into wall time. It is read anew only when the wall
// clock has been set, so that one moment has one name.
type wallClock struct {
	mu    sync.Mutex
	boot  time.Time     // the wall clock at CLOCK_BOOTTIME 0
	until time.Duration // CLOCK_BOOTTIME: later moments have the two compared again
}

const (
	// setBy is by how much the wall clock must be off to count as set anew.
	setBy = 10 * time.Millisecond
	// lookEvery is how often that is looked for; the kernel is asked for it.
	lookEvery = 50 * time.Millisecond
)

func (c *wallClock) at(ns uint64) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Duration(ns) > c.until {
		c.look()
	}
	return c.boot.Add(time.Duration(ns))
}

// compare looks whether the wall clock has been set.
func (c *wallClock) compare() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
}

// look compares the clocks; c.mu is held.
func (c *wallClock) look() {
	now := clock(unix.CLOCK_BOOTTIME)
	c.until = now + lookEvery
	// Round takes the monotonic clock out, which does not follow the wall clock.
	if boot := time.Now().Round(0).Add(-now); boot.Sub(c.boot).Abs() > setBy {
		c.boot = boot
	}
}
