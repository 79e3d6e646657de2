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
	name := e.view.pod(ev.Pod)
	egress := policy.Direction(ev.Direction) == policy.Egress
	mine := rpc.Endpoint{
		Namespace: name.key.Namespace, Pod: name.key.Name,
		IP: ev.Key.Pod.Addr(), Port: state.Port(ev.Key.PodPort), Process: e.names.of(ev.Process),
	}
	theirs := rpc.Endpoint{IP: ev.Key.Peer.Addr(), Port: state.Port(ev.Key.PeerPort)}
	if mine.IP.IsUnspecified() { // refused at the socket, before it had an address
		mine.IP = sameFamily(name.ips, theirs.IP)
	}
	if key, ok := e.view.load().addrs[theirs.IP]; ok {
		theirs.Namespace, theirs.Pod = key.Namespace, key.Name
	}
	proto := policy.Protocol(ev.Key.Protocol)
	if proto == policy.ICMP || proto == policy.ICMPv6 {
		mine.Port, theirs.Port = 0, 0
	}
	f := rpc.Flow{
		// The clock that a flow's last frame is told by is coarse.
		ID: flowID(ev), Time: e.wall.at(max(ev.Time, ev.Start)), StartTime: e.wall.at(ev.Start),
		Phase: state.Phase(ev.Phase), Pod: rpc.PodRef{Namespace: name.key.Namespace, Name: name.key.Name},
		Direction: policy.Direction(ev.Direction).String(),
		Verdict:   state.Verdict(ev.Verdict), Reason: state.Reason(ev.Reason), Protocol: protocol(proto),
		Forward: rpc.Counter{Packets: ev.Packets[ev.Direction&1], Bytes: ev.Bytes[ev.Direction&1]},
		Reverse: rpc.Counter{Packets: ev.Packets[^ev.Direction&1], Bytes: ev.Bytes[^ev.Direction&1]},
		Source:  theirs, Destination: mine,
	}
	if egress {
		f.Source, f.Destination = mine, theirs
	}
	e.cause(&f, ev)
	return f
}

// flowID is the same for every report of one flow: FNV-1a of what does not change.
func flowID(ev *state.RawFlowEvent) string {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	add := func(n uint64, bytes int) {
		for range bytes {
			h = (h ^ n&0xff) * prime
			n >>= 8
		}
	}
	add(uint64(ev.Pod), 4)
	for i := range ev.Key.Pod.W {
		add(uint64(ev.Key.Pod.W[i]), 4)
		add(uint64(ev.Key.Peer.W[i]), 4)
	}
	add(uint64(ev.Key.PodPort), 2)
	add(uint64(ev.Key.PeerPort), 2)
	add(uint64(ev.Key.Ifindex), 4)
	add(uint64(ev.Key.Protocol), 1)
	add(ev.Start, 8)
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
	mu     sync.Mutex
	boot   time.Time // the wall clock at CLOCK_BOOTTIME 0
	looked time.Time // when the two were compared last
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
	if now := time.Now(); now.Sub(c.looked) > lookEvery {
		c.looked = now
		if boot := now.Add(-clock(unix.CLOCK_BOOTTIME)); boot.Sub(c.boot).Abs() > setBy {
			c.boot = boot
		}
	}
	return c.boot.Add(time.Duration(ns))
}
