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
