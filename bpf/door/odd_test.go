// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// TestOddFrames: what cannot be judged is denied where something isolates, and
// passes elsewhere. (A test run refuses frames shorter than an IP header.)
func TestOddFrames(t *testing.T) {
	base := syn(pod4, friend4, 1000, 80)
	base.SYN = false
	base6 := syn(pod6, friend6, 1000, 80)
	edit := func(f bpftest.Frame, change func(b []byte) []byte) []byte { return change(f.Bytes(t)) }
	for _, tc := range []struct {
		name   string
		frame  []byte
		reason string
	}{
		{"later fragment", edit(base, func(b []byte) []byte { b[14+7] = 20; return b }), "fragment"},
		{"truncated TCP header", edit(base, func(b []byte) []byte { binary.BigEndian.PutUint16(b[14+2:], 28); return b }), "malformed"},
		{"IPv4 header length 4", edit(base, func(b []byte) []byte { b[14] = 0x44; return b }), "malformed"},
		{"version 5", edit(base, func(b []byte) []byte { b[14] = 0x55; return b }), "malformed"},
		{"unknown ethertype", edit(base, func(b []byte) []byte { b[12], b[13] = 0x88, 0xb5; return b }), "malformed"},
		{"nine extension headers", chain(t, base6, 9), "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, Config{})
			f.use(restricted)
			if bpftest.Run(t, f.out, tc.frame, false) != bpftest.Drop {
				t.Error("passed where a policy isolates")
			}
			if f.drops(tc.reason) != 1 {
				t.Errorf("not counted as %s", tc.reason)
			}
			f.use(state.RuleSetOpen)
			if bpftest.Run(t, f.out, tc.frame, false) != bpftest.Next {
				t.Error("dropped where nothing isolates")
			}
		})
	}
}

// chain puts n destination-options headers before the transport header.
func chain(t *testing.T, f bpftest.Frame, n int) []byte {
	t.Helper()
	b := f.Bytes(t)
	next := b[14+6]
	out := append([]byte{}, b[:14+40]...)
	out[14+6] = 60
	for i := range n {
		h := []byte{60, 0, 1, 4, 0, 0, 0, 0}
		if i == n-1 {
			h[0] = next
		}
		out = append(out, h...)
	}
	binary.BigEndian.PutUint16(out[14+4:], uint16(len(b)-14-40+8*n))
	return append(out, b[14+40:]...)
}

func TestHeadersThatAreSkipped(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	if bpftest.Run(t, f.out, chain(t, syn(pod6, friend6, 1000, 80), 3), false) != bpftest.Next {
		t.Error("IPv6 extension headers hide an allowed port")
	}
	if bpftest.Run(t, f.out, chain(t, syn(pod6, friend6, 1000, 81), 3), false) != bpftest.Drop {
		t.Error("IPv6 extension headers hide a denied port")
	}
	for port, want := range map[uint16]uint32{80: bpftest.Next, 81: bpftest.Drop} {
		b := syn(pod4, friend4, 1001, port).Bytes(t)
		options := append(append([]byte{}, b[:14+20]...), 1, 1, 1, 0)
		options[14] = 0x46
		binary.BigEndian.PutUint16(options[14+2:], 44)
		options = append(options, b[14+20:14+40]...)
		if got := bpftest.Run(t, f.out, options, false); got != want {
			t.Errorf("IPv4 options, port %d: %d, want %d", port, int32(got), int32(want))
		}
	}
}

// An ICMP error passes if it quotes a frame of an allowed flow.
func TestICMPErrors(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	ask := syn(pod4, friend4, 1000, 80)
	quote := func(of bpftest.Frame) []byte {
		b := of.Bytes(t)[14 : 14+28]
		e := bpftest.Frame{Src: stranger, Dst: pod4, Protocol: icmp, Payload: b}.Bytes(t)
		e[14+20], e[14+21] = 3, 4 // fragmentation needed
		return e
	}
	if bpftest.Run(t, f.in, quote(ask), false) != bpftest.Drop {
		t.Error("an error about no flow passed")
	}
	f.want("question", f.leave(ask), true)
	if bpftest.Run(t, f.in, quote(ask), false) != bpftest.Next {
		t.Error("an error about an allowed flow was dropped")
	}
	other := ask
	other.DstPort = 81
	f.want("denied question", f.leave(other), false)
	if bpftest.Run(t, f.in, quote(other), false) != bpftest.Drop {
		t.Error("an error about a denied flow passed")
	}
}

func TestLinkFrames(t *testing.T) {
	f := newFixture(t, Config{}) // closed
	group := netip.MustParseAddr("ff02::1:ff00:3")
	arp := make([]byte, 42)
	arp[12], arp[13] = 0x08, 0x06
	nd := func(kind byte, hops byte, src, dst, target netip.Addr, payload int) []byte {
		b := bpftest.Frame{Src: src, Dst: dst, Protocol: 58, Payload: make([]byte, payload)}.Bytes(t)
		b[14+7], b[14+40] = hops, kind
		copy(b[14+48:], target.AsSlice())
		return b
	}
	for name, tc := range map[string]struct {
		frame []byte
		want  uint32
	}{
		"ARP":                                  {arp, bpftest.Next},
		"solicitation to the group":            {nd(135, 255, pod6, group, friend6, 24), bpftest.Next},
		"solicitation to the neighbour":        {nd(135, 255, pod6, friend6, friend6, 24), bpftest.Next},
		"advertisement to a neighbour":         {nd(136, 255, pod6, friend6, pod6, 24), bpftest.Next},
		"listener report":                      {nd(143, 1, pod6, netip.MustParseAddr("ff02::16"), pod6, 24), bpftest.Next},
		"solicitation that was routed":         {nd(135, 64, pod6, group, friend6, 24), bpftest.Drop},
		"solicitation about somebody else":     {nd(135, 255, pod6, friend6, pod6, 24), bpftest.Drop},
		"advertisement with a load":            {nd(136, 255, pod6, friend6, pod6, 1200), bpftest.Drop},
		"listener report to a host":            {nd(143, 1, pod6, friend6, pod6, 24), bpftest.Drop},
		"advertisement from another's address": {nd(136, 255, friend6, group, friend6, 24), bpftest.Drop},
	} {
		if got := bpftest.Run(t, f.out, tc.frame, false); got != tc.want {
			t.Errorf("%s: %d, want %d", name, int32(got), int32(tc.want))
		}
	}
}

// Nothing rides on an ICMP error: it goes to whom the quoted frame came from, and
// comes from the pod.
func TestICMPErrorsGoBackOnly(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	ask := syn(friend4, pod4, 2000, 80)
	f.want("question", f.enter(ask), true)
	quote := func(src, dst netip.Addr) []byte {
		e := bpftest.Frame{Src: src, Dst: dst, Protocol: icmp, Payload: ask.Bytes(t)[14 : 14+28]}.Bytes(t)
		e[14+20], e[14+21] = 3, 3
		return e
	}
	for _, tc := range []struct {
		name     string
		src, dst netip.Addr
		want     uint32
	}{
		{"to the sender", pod4, friend4, bpftest.Next},
		{"to a stranger", pod4, stranger, bpftest.Drop},
		{"from another's address", friend4, friend4, bpftest.Drop},
	} {
		if got := bpftest.Run(t, f.out, quote(tc.src, tc.dst), false); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, int32(got), int32(tc.want))
		}
	}
}

// The peer's TCP tries again for long; by then its frames must not open the flow.
func TestCutConnectionStaysCut(t *testing.T) {
	f := newFixture(t, Config{DeniedFor: 10 * time.Millisecond})
	must(t, f.s.Rulesets.Put(uint32(22), state.RawRuleset{Active: [8]uint8{5: 1}})) // egress alone
	f.use(restricted)
	ask := syn(pod4, friend4, 1000, 80)
	f.want("question", f.leave(ask), true)
	f.want("answer", f.enter(ask.Reverse()), true)
	f.use(22)
	ask.SYN = false
	f.want("question after the change", f.leave(ask), false)
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		if f.enter(ask.Reverse()) {
			t.Fatal("the cut connection came back")
		}
	}
	f.want("question once more", f.leave(ask), false)
}

// A pod that nothing isolates loses nothing to its quotas.
func TestFullQuotaHurtsNoOpenPod(t *testing.T) {
	f := newFixture(t, Config{HalfOpen: 8, Open: 8})
	f.use(state.RuleSetOpen)
	for port := range uint16(50) {
		ask := bpftest.Frame{Src: stranger, Dst: pod4, Protocol: udp, SrcPort: 2000 + port, DstPort: 53}
		f.want("question", f.enter(ask), true)
		f.want("answer", f.leave(ask.Reverse()), true)
	}
}
