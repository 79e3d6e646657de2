// SPDX-License-Identifier: Apache-2.0

package door

import (
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// segment is a frame of f's connection with other flags.
func segment(f bpftest.Frame, change func(*bpftest.Frame)) bpftest.Frame {
	f.SYN, f.ACK = false, true
	if change != nil {
		change(&f)
	}
	return f
}

func withSYN(f *bpftest.Frame)   { f.SYN, f.ACK = true, false }
func withFIN(f *bpftest.Frame)   { f.FIN = true }
func withRST(f *bpftest.Frame)   { f.RST = true }
func synAnswer(f *bpftest.Frame) { f.SYN = true }

// shake opens a connection from the pod.
func (f *fixture) shake(ask bpftest.Frame) {
	f.Helper()
	f.want("SYN", f.leave(ask), true)
	f.want("SYN and ACK", f.enter(segment(ask.Reverse(), synAnswer)), true)
	f.want("ACK", f.leave(segment(ask, nil)), true)
}

// state reads the state of a flow from the pod.
func (f *fixture) state(of bpftest.Frame) uint32 {
	f.Helper()
	k := state.RawFlowKey{
		Pod: state.AddrKey(of.Src), Peer: state.AddrKey(of.Dst), Ifindex: 1, Protocol: of.Protocol,
		PodPort: state.Port(of.SrcPort), PeerPort: state.Port(of.DstPort),
	}
	var flow state.RawFlow
	must(f, f.s.Flows.Lookup(k, &flow))
	return flow.State
}

// The values of enum flow_state.
const (
	half = iota
	open
	closing
	denied
)

func (f *fixture) wantState(of bpftest.Frame, want uint32) {
	f.Helper()
	if got := f.state(of); got != want {
		f.Errorf("state = %d, want %d", got, want)
	}
}

// TCP that the table does not know is judged as if it began here.
func TestTCPWithoutState(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		for name, change := range map[string]func(*bpftest.Frame){"ACK": nil, "SYN and ACK": synAnswer, "FIN": withFIN, "RST": withRST} {
			port := uint16(1000 + len(name))
			ask := syn(fam.pod, fam.friend, port, 80)
			f.want(fam.name+" "+name+": allowed out", f.leave(segment(ask, change)), true)
			f.want(fam.name+" "+name+": allowed in", f.enter(segment(syn(fam.friend, fam.pod, port, 80), change)), true)
			ask.DstPort = 81
			f.want(fam.name+" "+name+": denied out", f.leave(segment(ask, change)), false)
			f.want(fam.name+" "+name+": answer to it", f.enter(segment(ask.Reverse(), change)), false)
			f.want(fam.name+" "+name+": like an answer", f.enter(segment(syn(fam.friend, fam.pod, 80, port+1), change)), false)
		}
	}
}

// A SYN from the other end of an open connection asks for one of its own.
func TestReverseSYN(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.shake(ask)
		f.want(fam.name+": SYN of the other end", f.enter(segment(ask.Reverse(), withSYN)), false)
		f.want(fam.name+": the connection goes on", f.enter(segment(ask.Reverse(), nil)), true)
		f.want(fam.name+": both ways", f.leave(segment(ask, nil)), true)
		f.wantState(ask, open)
		in := syn(fam.friend, fam.pod, 2000, 80)
		f.want(fam.name+": from a friend", f.enter(in), true)
		f.want(fam.name+": answer", f.leave(segment(in.Reverse(), synAnswer)), true)
		f.want(fam.name+": ACK", f.enter(segment(in, nil)), true)
		f.want(fam.name+": SYN of the pod", f.leave(segment(in.Reverse(), withSYN)), false)
		f.want(fam.name+": the friend's connection goes on", f.enter(segment(in, nil)), true)
	}
}

// A probe of the node opens no way back to it for a pod that is closed.
func TestProbeOpensNoWayBack(t *testing.T) {
	f := newFixture(t, Config{})
	for _, fam := range families {
		probe := syn(fam.nobody, fam.pod, 3000, 80)
		fromNode := func(b bpftest.Frame) bool { return bpftest.Run(t, f.in, b.Bytes(t), true) == bpftest.Next }
		f.want(fam.name+": probe", fromNode(probe), true)
		f.want(fam.name+": answer", f.leave(segment(probe.Reverse(), synAnswer)), true)
		f.want(fam.name+": ACK", fromNode(segment(probe, nil)), true)
		f.want(fam.name+": SYN of the pod", f.leave(segment(probe.Reverse(), withSYN)), false)
		f.want(fam.name+": from another port", f.leave(syn(fam.pod, fam.nobody, 81, 3000)), false)
		f.want(fam.name+": the probe goes on", fromNode(segment(probe, withFIN)), true)
	}
}

func TestReverseSYNAfterAChange(t *testing.T) {
	f := newFixture(t, Config{})
	for _, fam := range families {
		f.use(restricted)
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.shake(ask)
		f.useEqual()
		f.want(fam.name+": SYN of the other end", f.enter(segment(ask.Reverse(), withSYN)), false)
		f.want(fam.name+": the connection goes on", f.enter(segment(ask.Reverse(), nil)), true)
	}
}

// Both ends open at once: each sends a SYN before it has seen the other's.
func TestSimultaneousOpen(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.want(fam.name+": SYN", f.leave(ask), true)
		f.want(fam.name+": SYN of the other end", f.enter(segment(ask.Reverse(), withSYN)), true)
		f.want(fam.name+": SYN and ACK", f.leave(segment(ask, synAnswer)), true)
		f.want(fam.name+": SYN and ACK of the other end", f.enter(segment(ask.Reverse(), synAnswer)), true)
		f.want(fam.name+": data", f.leave(segment(ask, nil)), true)
		f.want(fam.name+": data of the other end", f.enter(segment(ask.Reverse(), nil)), true)
		f.wantState(ask, open)
	}
}

// After one FIN the other end may go on for as long as it likes.
func TestHalfClose(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.shake(ask)
		f.want(fam.name+": FIN", f.leave(segment(ask, withFIN)), true)
		f.want(fam.name+": data of the other end", f.enter(segment(ask.Reverse(), nil)), true)
		f.want(fam.name+": ACK", f.leave(segment(ask, nil)), true)
		f.want(fam.name+": FIN again", f.leave(segment(ask, withFIN)), true)
		f.wantState(ask, open)
		f.want(fam.name+": FIN of the other end", f.enter(segment(ask.Reverse(), withFIN)), true)
		f.wantState(ask, closing)
		f.want(fam.name+": last ACK", f.leave(segment(ask, nil)), true)
		f.want(fam.name+": FIN of the other end again", f.enter(segment(ask.Reverse(), withFIN)), true)
		f.want(fam.name+": SYN of the other end", f.enter(segment(ask.Reverse(), withSYN)), false)
		f.want(fam.name+": the port again", f.leave(ask), true)
		f.wantState(ask, half)
	}
}

func TestResetEndsAFlow(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.want(fam.name+": SYN", f.leave(ask), true)
		f.want(fam.name+": refused", f.enter(segment(ask.Reverse(), withRST)), true)
		f.wantState(ask, closing)
		f.want(fam.name+": SYN of the other end", f.enter(segment(ask.Reverse(), withSYN)), false)
		f.shake(ask)
		f.wantState(ask, open)
		f.want(fam.name+": reset", f.leave(segment(ask, withRST)), true)
		f.wantState(ask, closing)
	}
}

// The SYN of a new connection is judged, though the old one lives on for its peer.
func TestPortReuseWithoutClose(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for i, fam := range families {
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.shake(ask)
		must(t, f.s.Peers.Delete(state.AddrKey(families[i].friend)))
		f.want(fam.name+": data", f.leave(segment(ask, nil)), true)
		f.want(fam.name+": SYN", f.leave(ask), false)
		f.want(fam.name+": data again", f.leave(segment(ask, nil)), true)
	}
}

func TestPortReuseAfterClose(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.want(fam.name+": question", f.leave(ask), true)
		f.want(fam.name+": reset", f.enter(segment(ask.Reverse(), withRST)), true)
		must(t, f.s.Peers.Delete(state.AddrKey(fam.friend)))
		f.want(fam.name+": SYN of a new connection, peer gone", f.leave(ask), false)
	}
}

// A handshake that its beginner does not finish stays half open.
func TestUnfinishedHandshakeIsHalfOpen(t *testing.T) {
	f := newFixture(t, Config{HalfOpen: 8, Open: 8})
	f.use(restricted)
	for port := range uint16(20) {
		ask := syn(friend4, pod4, 2000+port, 80)
		if f.enter(ask) {
			f.leave(segment(ask.Reverse(), synAnswer))
		}
	}
	var c state.RawCount
	must(t, f.s.Counts.Lookup(f.pod.Slot, &c))
	if c.Flows[0] != 8 || c.Flows[1] != 0 {
		t.Errorf("half open %d, open %d; want 8 and 0", c.Flows[0], c.Flows[1])
	}
}
