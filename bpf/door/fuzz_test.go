// SPDX-License-Identifier: Apache-2.0

package door

import (
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
)

// FuzzFrame gives any bytes as a frame to the door of an isolated pod, both ways:
// what passes must be what a second reading of it says the rules allow.
func FuzzFrame(f *testing.F) {
	fx := newFixture(f, Config{})
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < ethLen+ip6Len || len(b) > 2048 {
			return // a test run takes no frame that is shorter than an IP header
		}
		on := *fx
		on.TB = t
		for _, leaves := range []bool{true, false} {
			fx.pod.ID++ // another pod: nothing that is known holds for it
			on.pod.ID = fx.pod.ID
			on.use(restricted)
			passes := on.enters
			if leaves {
				passes = on.leaves
			}
			if passes(b) && !mayPass(b, leaves) {
				t.Errorf("passed (leaves: %v): %x", leaves, b)
			}
		}
	})
}

// TestReading has the second reading allow what the packet tables say passes.
func TestReading(t *testing.T) {
	f := newFixture(t, Config{})
	passed := 0
	for _, b := range seeds(t) {
		for _, leaves := range []bool{true, false} {
			f.pod.ID++
			f.use(restricted)
			if (leaves && f.leaves(b)) || (!leaves && f.enters(b)) {
				passed++
				if !mayPass(b, leaves) {
					t.Errorf("passed (leaves: %v): %x", leaves, b)
				}
			}
		}
	}
	if passed < 20 {
		t.Errorf("only %d frames passed", passed)
	}
}

// seeds are the frames of the packet tables.
func seeds(tb testing.TB) (out [][]byte) {
	for _, c := range arpFrames() {
		out = append(out, c.frame)
	}
	for _, c := range linkFrames() {
		b := c.frame.Bytes(tb)
		out = append(out, b, extend(b, plain(0, 0)), extend(b, atomic()))
	}
	for _, c := range oddFrames(tb) {
		out = append(out, c.frame)
	}
	for _, fam := range families {
		for _, ends := range [][2]bpftest.Frame{
			{syn(fam.pod, fam.friend, 1000, 80), syn(fam.friend, fam.pod, 1000, 80)},
			{long(fam.pod, fam.friend, 53), long(fam.friend, fam.pod, 53)},
			{syn(fam.podNet, fam.friend, 1000, 80), syn(fam.pod, fam.nobody, 1000, 80)},
			{syn(fam.pod, fam.friend, 1000, 81), {Src: fam.pod, Dst: fam.friend, Protocol: fam.ping, SrcPort: 9}},
			{{Src: fam.pod, Dst: fam.friend, Protocol: sctp, SrcPort: 9, DstPort: 80}, {Src: fam.pod, Dst: fam.friend, Protocol: 47}},
		} {
			for _, frame := range ends {
				b := frame.Bytes(tb)
				out = append(out, b, tag(b, 0x8100, 0), tag(b, 0x88a8, 5))
				if fam.pod.Is6() {
					out = append(out, extend(b, auth()), extend(b, atomic(), plain(43, 1)), extend(b, many(8)...))
				} else {
					out = append(out, options(b, 1, 1, 1, 0), options(b, 0x94, 4, 0, 0))
				}
				if n := len(b) - ethLen - ip6Len; n >= 32 {
					out = append(out, piece(b, 1, 0, 24, true), piece(b, 1, 24, 32, false))
				}
			}
		}
		for _, kind := range kinds(fam.pod.Is6()) {
			about := syn(fam.pod, fam.friend, 1000, 80)
			out = append(out, quoting(tb, fam.nobody, fam.pod, kind[0], kind[1], about, heads(fam.pod.Is6())).Bytes(tb))
		}
	}
	return out
}
