// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// Headers are skipped to the port behind them, whatever they are.
func TestExtensions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	all := []extension{plain(0, 0), plain(60, 0), plain(43, 0), atomic(), auth(), plain(60, 2)}
	back := slices.Clone(all)
	slices.Reverse(back)
	cases := map[string][]extension{
		"hop by hop": {plain(0, 0)}, "routing": {plain(43, 1)}, "fragment, atomic": {atomic()},
		"authentication": {auth()}, "destination": {plain(60, 3)}, "mobility": {plain(135, 0)},
		"host identity": {plain(139, 0)}, "shim6": {plain(140, 0)}, "long": {plain(60, 255)},
		"in the order of RFC 8200": all, "in the reverse order": back,
		"hop by hop, not first": {plain(60, 0), plain(0, 0)},
		"authentication twice":  {auth(), auth()},
		"two atomic fragments":  {atomic(), atomic()},
	}
	for name, headers := range cases {
		good, bad := syn(pod6, friend6, 1000, 80).Bytes(t), syn(pod6, friend6, 1000, 81).Bytes(t)
		f.want(name+", allowed", f.leaves(extend(good, headers...)), true)
		f.want(name+", denied", f.leaves(extend(bad, headers...)), false)
		good, bad = syn(friend6, pod6, 1000, 80).Bytes(t), syn(friend6, pod6, 1000, 81).Bytes(t)
		f.want(name+", allowed, in", f.enters(extend(good, headers...)), true)
		f.want(name+", denied, in", f.enters(extend(bad, headers...)), false)
	}
}

// many are n headers.
func many(n int) []extension { return slices.Repeat([]extension{plain(60, 0)}, n) }

// Flow and answer are one, with and without extensions.
func TestExtensionsAreNoOtherFlow(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	ask := syn(pod6, friend6, 1000, 80)
	f.want("question", f.leaves(extend(ask.Bytes(t), plain(60, 0))), true)
	f.want("answer", f.enter(ask.Reverse()), true)
	f.want("answer with extensions", f.enters(extend(ask.Reverse().Bytes(t), many(3)...)), true)
}

func TestNumberOfExtensions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	b := syn(pod6, friend6, 1000, 80).Bytes(t)
	for n, want := range map[int]bool{1: true, 7: true, 9: false, 30: false} {
		f.want(fmt.Sprint(n, " headers"), f.leaves(extend(b, many(n)...)), want)
	}
	f.use(state.RuleSetOpen)
	f.want("9 headers where nothing isolates", f.leaves(extend(b, many(9)...)), true)
}

func TestMostExtensions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	f.want("8 headers", f.leaves(extend(syn(pod6, friend6, 1000, 80).Bytes(t), many(8)...)), true)
}

// No address hides behind headers that are too many to read.
func TestForeignAddressBehindManyExtensions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	nobody := families[1].nobody
	f.want("out", f.leaves(extend(syn(friend6, nobody, 1000, 80).Bytes(t), many(9)...)), false)
	f.want("in", f.enters(extend(syn(nobody, friend6, 1000, 80).Bytes(t), many(9)...)), false)
}

func TestExtensionsCutShort(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	b := extend(syn(pod6, friend6, 1000, 80).Bytes(t), plain(60, 0), plain(43, 0))
	cut := func(payload int) []byte {
		out := slices.Clone(b)
		binary.BigEndian.PutUint16(out[ethLen+4:], uint16(payload))
		return out
	}
	for n := range 16 + 14 { // the rest of the frame is padding
		if n == 0 {
			continue // a jumbogram
		}
		f.want(fmt.Sprint(n, " bytes of payload"), f.leaves(cut(n)), false)
	}
	f.want("payload longer than the frame", f.leaves(cut(16+21)), false)
	far := slices.Clone(b)
	far[ethLen+ip6Len+1] = 255
	f.want("header longer than the frame", f.leaves(far), false)
	f.want("frame ends in a header", f.leaves(b[:ethLen+ip6Len+12]), false)
}

// What ends the chain without ports is judged by its protocol alone.
func TestEndsOfExtensions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	trap := syn(pod6, friend6, 1000, 80).Bytes(t)[ethLen+ip6Len:] // looks like an allowed port
	frame := func(protocol uint8) []byte {
		return extend(bpftest.Frame{Src: pod6, Dst: friend6, Protocol: protocol, Bare: true, Payload: trap}.Bytes(t), plain(60, 0))
	}
	for name, protocol := range map[string]uint8{"no next header": 59, "ESP": 50, "GRE": 47, "IPv4": 4, "IPv6": 41, "unknown": 200} {
		f.want(name, f.leaves(frame(protocol)), false)
	}
	f.grantAll()
	f.useEqual()
	for name, protocol := range map[string]uint8{"no next header": 59, "ESP": 50, "GRE": 47, "IPv4": 4, "IPv6": 41, "unknown": 200} {
		f.want(name+", all granted", f.leaves(frame(protocol)), true)
	}
}

func TestIPv4Options(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	good, bad := syn(pod4, friend4, 1000, 80).Bytes(t), syn(pod4, friend4, 1000, 81).Bytes(t)
	trap := []byte{0x44, 20, 5, 0, 3, 0xe8, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0} // a timestamp like a TCP header
	for name, opts := range map[string][]byte{
		"no operation": {1, 1, 1, 0}, "router alert": {0x94, 4, 0, 0}, "like a header": trap,
		"the most": slices.Repeat([]byte{1}, 40), "unknown": {0x9e, 4, 0, 0}, "of no length": {0x44, 0, 0, 0},
	} {
		f.want(name+", allowed", f.leaves(options(good, opts...)), true)
		f.want(name+", denied", f.leaves(options(bad, opts...)), false)
	}
	f.want("header longer than the packet", f.leaves(func() []byte {
		b := slices.Clone(good)
		b[ethLen] = 0x4f
		return b
	}()), false)
}
