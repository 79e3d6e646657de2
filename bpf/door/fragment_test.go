// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// long is a datagram of 72 bytes.
func long(src, dst netip.Addr, port uint16) bpftest.Frame {
	return bpftest.Frame{Src: src, Dst: dst, Protocol: udp, SrcPort: 1000, DstPort: port, Payload: make([]byte, 64)}
}

func TestFragmentsFollowTheFirst(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		for way, send := range map[string]func([]byte) bool{"out": f.leaves, "in": f.enters} {
			src, dst := fam.pod, fam.friend
			if way == "in" {
				src, dst = dst, src
			}
			good, bad := long(src, dst, 53).Bytes(t), long(src, dst, 54).Bytes(t)
			at := fam.name + " " + way + ": "
			f.want(at+"later before the first", send(piece(good, 1, 32, 72, false)), false)
			f.want(at+"allowed first", send(piece(good, 1, 0, 32, true)), true)
			f.want(at+"middle", send(piece(good, 1, 32, 40, true)), true)
			f.want(at+"last", send(piece(good, 1, 40, 72, false)), true)
			f.want(at+"last, once more", send(piece(good, 1, 40, 72, false)), true)
			f.want(at+"last of another datagram", send(piece(good, 2, 40, 72, false)), false)
			f.want(at+"denied first", send(piece(bad, 3, 0, 32, true)), false)
			f.want(at+"last after a denied first", send(piece(bad, 3, 32, 72, false)), false)
		}
	}
}

// What a later fragment shares with an allowed first one is all of its datagram.
func TestFragmentsOfAnotherDatagram(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		good := long(fam.pod, fam.friend, 53)
		f.want(fam.name+": first", f.leaves(piece(good.Bytes(t), 7, 0, 32, true)), true)
		other := func(change func(*bpftest.Frame)) []byte {
			o := good
			change(&o)
			return piece(o.Bytes(t), 7, 32, 72, false)
		}
		f.want(fam.name+": other protocol", f.leaves(other(func(o *bpftest.Frame) { o.Protocol = 253; o.Payload = make([]byte, 72) })), false)
		f.want(fam.name+": other destination", f.leaves(other(func(o *bpftest.Frame) { o.Dst = fam.nobody })), false)
		f.want(fam.name+": other source", f.leaves(other(func(o *bpftest.Frame) { o.Src = fam.podNet })), false)
		f.want(fam.name+": other MAC", f.leaves(other(func(o *bpftest.Frame) { o.MAC = foreignMAC() })), false)
		f.want(fam.name+": from the peer", f.enters(piece(long(fam.friend, fam.pod, 53).Bytes(t), 7, 32, 72, false)), false)
		f.want(fam.name+": the same, from the peer", f.enters(piece(good.Bytes(t), 7, 32, 72, false)), false)
		f.want(fam.name+": itself", f.leaves(piece(good.Bytes(t), 7, 32, 72, false)), true)
	}
}

// Of two first fragments the last one counts: a denied one ends the datagram.
func TestTwoFirstFragments(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		good, bad := long(fam.pod, fam.friend, 53).Bytes(t), long(fam.pod, fam.friend, 54).Bytes(t)
		f.want(fam.name+": allowed", f.leaves(piece(good, 4, 0, 32, true)), true)
		f.want(fam.name+": denied", f.leaves(piece(bad, 4, 0, 32, true)), false)
		f.want(fam.name+": later", f.leaves(piece(good, 4, 32, 72, false)), false)
		f.want(fam.name+": allowed again", f.leaves(piece(good, 4, 0, 32, true)), true)
		f.want(fam.name+": later again", f.leaves(piece(good, 4, 32, 72, false)), true)
	}
}

// Nothing may overwrite the header that was judged (RFC 1858, RFC 3128).
func TestFragmentsThatOverlapAHeader(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		ask := syn(fam.pod, fam.friend, 1000, 80)
		ask.Payload = make([]byte, 64)
		b := ask.Bytes(t)
		f.want(fam.name+": first without the flags", f.leaves(piece(b, 5, 0, 8, true)), false)
		f.want(fam.name+": later after it", f.leaves(piece(b, 5, 24, 84, false)), false)
		f.want(fam.name+": first", f.leaves(piece(b, 6, 0, 24, true)), true)
		f.want(fam.name+": over ports and flags", f.leaves(piece(b, 6, 8, 24, true)), false)
		f.want(fam.name+": over the window", f.leaves(piece(b, 6, 16, 32, true)), false)
		f.want(fam.name+": over data alone", f.leaves(piece(b, 6, 24, 84, false)), true)
		d := long(fam.pod, fam.friend, 53).Bytes(t)
		f.want(fam.name+": UDP header alone", f.leaves(piece(d, 8, 0, 8, true)), true)
		f.want(fam.name+": what follows it", f.leaves(piece(d, 8, 8, 72, false)), true)
	}
}

func TestFragmentsUnderOtherRules(t *testing.T) {
	f := newFixture(t, Config{})
	for _, fam := range families {
		b := long(fam.pod, fam.friend, 53).Bytes(t)
		f.use(restricted)
		f.want(fam.name+": first", f.leaves(piece(b, 9, 0, 32, true)), true)
		f.use(locked)
		f.want(fam.name+": later, locked", f.leaves(piece(b, 9, 32, 72, false)), false)
		f.use(state.RuleSetOpen)
		f.want(fam.name+": later, open", f.leaves(piece(b, 9, 32, 72, false)), true)
		f.use(state.RuleSetClosed)
		f.want(fam.name+": later, closed", f.leaves(piece(b, 9, 32, 72, false)), false)
	}
}

// A pod cannot go on with what another has begun.
func TestFragmentsOfAnotherPod(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	other := state.Pod{IfIndex: 2, Cookie: 100, Addrs: []netip.Addr{netip.MustParseAddr("10.1.0.4")}}
	must(t, f.s.Register(&other))
	must(t, f.s.Rules.Put(other.Slot, state.RawAssignment{Pod: other.ID, Ruleset: restricted}))
	for _, fam := range families {
		b := long(fam.pod, fam.friend, 53).Bytes(t)
		f.want(fam.name+": first", f.leaves(piece(b, 10, 0, 32, true)), true)
		must(t, f.s.Doors.Put(uint32(1), state.RawDoorway{Slot: other.Slot}))
		f.want(fam.name+": later at the other's door", f.leaves(piece(b, 10, 32, 72, false)), false)
		must(t, f.s.Doors.Put(uint32(1), state.RawDoorway{Slot: f.pod.Slot}))
		f.want(fam.name+": later", f.leaves(piece(b, 10, 32, 72, false)), true)
	}
}

// The later fragments of an echo, of SCTP and of a protocol without ports.
func TestFragmentsOfEachProtocol(t *testing.T) {
	f := newFixture(t, Config{})
	f.grantAll()
	f.use(restricted)
	for _, fam := range families {
		for i, protocol := range []uint8{tcp, udp, sctp, fam.ping, 47, 253} {
			b := bpftest.Frame{Src: fam.pod, Dst: fam.friend, Protocol: protocol, SrcPort: 9, DstPort: 99, Payload: make([]byte, 80)}.Bytes(t)
			f.want(fam.name+": first", f.leaves(piece(b, uint32(20+i), 0, 32, true)), true)
			f.want(fam.name+": later", f.leaves(piece(b, uint32(20+i), 32, 80, false)), true)
		}
	}
}

// RFC 8200: options for the destination stand behind the fragment header, in the
// first fragment alone; the next header of all fragments is that of the options.
func TestFragmentsBehindOptions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	d := long(pod6, friend6, 53).Bytes(t)
	whole := extend(d, plain(60, 0))
	f.want("first", f.leaves(piece(whole, 11, 0, 32, true)), true)
	f.want("over the header", f.leaves(piece(whole, 11, 8, 32, true)), false)
	f.want("over the header, as UDP", f.leaves(piece(d, 11, 8, 32, true)), false)
	f.want("later", f.leaves(piece(whole, 11, 32, 80, false)), true)
}

// What is denied cannot push out what is allowed.
func TestFloodOfDeniedFragments(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		good, bad := long(fam.friend, fam.pod, 53).Bytes(t), long(fam.nobody, fam.pod, 53).Bytes(t)
		f.want(fam.name+": first", f.enters(piece(good, 12, 0, 32, true)), true)
		for id := range uint32(1000) {
			f.want(fam.name+": flood", f.enters(piece(bad, id, 0, 32, true)), false)
		}
		f.want(fam.name+": later", f.enters(piece(good, 12, 32, 72, false)), true)
	}
}

// Where nothing isolates, fragments pass unjudged, yet not under another's address.
func TestFragmentsOfForeignAddresses(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	for _, fam := range families {
		f.want(fam.name+": own, out", f.leaves(piece(long(fam.pod, fam.nobody, 53).Bytes(t), 13, 32, 72, false)), true)
		f.want(fam.name+": own, in", f.enters(piece(long(fam.nobody, fam.pod, 53).Bytes(t), 13, 32, 72, false)), true)
		f.want(fam.name+": foreign, out", f.leaves(piece(long(fam.podNet, fam.nobody, 53).Bytes(t), 13, 32, 72, false)), false)
		f.want(fam.name+": foreign, in", f.enters(piece(long(fam.nobody, fam.podNet, 53).Bytes(t), 13, 32, 72, false)), false)
	}
}
