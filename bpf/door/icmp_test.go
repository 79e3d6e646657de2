// SPDX-License-Identifier: Apache-2.0

package door

import (
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
)

// kinds are the ICMP errors of a family: type and code.
func kinds(v6 bool) map[string][2]uint8 {
	if v6 {
		return map[string][2]uint8{"unreachable": {1, 4}, "too big": {2, 0}, "time exceeded": {3, 0}, "parameter problem": {4, 0}}
	}
	return map[string][2]uint8{"unreachable": {3, 3}, "too big": {3, 4}, "time exceeded": {11, 0}, "parameter problem": {12, 0}}
}

// heads is what an error must quote: the IP header and eight bytes (RFC 792).
func heads(v6 bool) int {
	if v6 {
		return ip6Len + 8
	}
	return ip4Len + 8
}

// An error passes if it quotes a frame of an allowed flow, from wherever it comes.
func TestICMPErrors(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	port := uint16(1000)
	for _, fam := range families {
		v6 := fam.pod.Is6()
		for name, kind := range kinds(v6) {
			for _, ask := range []bpftest.Frame{
				syn(fam.pod, fam.friend, port, 80),
				{Src: fam.pod, Dst: fam.friend, Protocol: udp, SrcPort: port, DstPort: 53},
			} {
				port++
				at := fam.name + " " + name
				about := func(of bpftest.Frame) bpftest.Frame {
					return quoting(t, fam.nobody, fam.pod, kind[0], kind[1], of, heads(v6))
				}
				f.want(at+": about no flow", f.enter(about(ask)), false)
				f.want(at+": question", f.leave(ask), true)
				f.want(at+": about the flow", f.enter(about(ask)), true)
				f.want(at+": quotes too little", f.enter(quoting(t, fam.nobody, fam.pod, kind[0], kind[1], ask, heads(v6)-1)), false)
				f.want(at+": about its answer", f.enter(about(ask.Reverse())), false)
				other := ask
				other.DstPort++
				f.want(at+": about another flow", f.enter(about(other)), false)
				f.want(at+": denied question", f.leave(other), false)
				f.want(at+": about the denied flow", f.enter(about(other)), false)
				other = ask
				other.Protocol ^= tcp ^ udp
				f.want(at+": about another protocol", f.enter(about(other)), false)
			}
		}
	}
}

// An error goes to whom the quoted frame came from, and comes from the pod.
func TestICMPErrorsGoBackOnly(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	for _, fam := range families {
		ask := syn(fam.friend, fam.pod, 2000, 80)
		f.want(fam.name+": question", f.enter(ask), true)
		n, kind := heads(fam.pod.Is6()), uint8(3)
		if fam.pod.Is6() {
			kind = 1
		}
		f.want(fam.name+": to the sender", f.leave(quoting(t, fam.pod, fam.friend, kind, 3, ask, n)), true)
		f.want(fam.name+": to a stranger", f.leave(quoting(t, fam.pod, fam.nobody, kind, 3, ask, n)), false)
		f.want(fam.name+": from another's address", f.leave(quoting(t, fam.podNet, fam.friend, kind, 3, ask, n)), false)
		f.want(fam.name+": about what the pod sent", f.leave(quoting(t, fam.pod, fam.friend, kind, 3, ask.Reverse(), n)), false)
	}
}

// Under new rules, an error about what they deny is denied too.
func TestICMPErrorsUnderOtherRules(t *testing.T) {
	f := newFixture(t, Config{})
	for _, fam := range families {
		f.use(restricted)
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.want(fam.name+": question", f.leave(ask), true)
		f.use(locked)
		kind := kinds(fam.pod.Is6())["too big"]
		f.want(fam.name+": too big", f.enter(quoting(t, fam.nobody, fam.pod, kind[0], kind[1], ask, heads(fam.pod.Is6()))), false)
	}
}

// The frame that an error quotes may bear extensions or options itself.
func TestICMPErrorsAboutOptions(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	ask := syn(pod6, friend6, 1000, 80)
	f.want("question", f.leave(ask), true)
	long := extend(ask.Bytes(t), plain(0, 0), plain(60, 0))[ethLen:]
	f.want("extensions", f.enter(message(stranger6(), pod6, 2, 0, 64, append(make([]byte, 4), long...))), true)
	later := piece(ask.Bytes(t), 1, 8, 20, false)[ethLen:]
	f.want("later fragment", f.enter(message(stranger6(), pod6, 2, 0, 64, append(make([]byte, 4), later...))), false)
	ask = syn(pod4, friend4, 1000, 80)
	f.want("question", f.leave(ask), true)
	long = options(ask.Bytes(t), 1, 1, 1, 0)[ethLen:]
	f.want("options", f.enter(message(stranger, pod4, 3, 4, 64, append(make([]byte, 4), long...))), true)
}

func TestEcho(t *testing.T) {
	f := newFixture(t, Config{})
	f.grantAll()
	f.use(restricted)
	for _, fam := range families {
		ping := bpftest.Frame{Src: fam.pod, Dst: fam.friend, Protocol: fam.ping, SrcPort: 9}
		f.want(fam.name+": reply before the echo", f.enter(bpftest.Frame{Src: fam.nobody, Dst: fam.pod, Protocol: fam.ping, SrcPort: 9, Reply: true}), false)
		f.want(fam.name+": echo", f.leave(ping), true)
		f.want(fam.name+": reply", f.enter(ping.Reverse()), true)
		to := ping
		to.Dst = fam.nobody
		f.want(fam.name+": echo to a stranger", f.leave(to), false)
		f.want(fam.name+": reply of a stranger", f.enter(to.Reverse()), false)
		f.want(fam.name+": echo from a friend", f.enter(bpftest.Frame{Src: fam.friend, Dst: fam.pod, Protocol: fam.ping, SrcPort: 77}), true)
		f.want(fam.name+": its reply", f.leave(bpftest.Frame{Src: fam.pod, Dst: fam.friend, Protocol: fam.ping, SrcPort: 77, Reply: true}), true)
	}
}

// onlyOut makes the pod's rules let all go out to friends, and nothing in.
func (f *fixture) onlyOut() {
	f.Helper()
	f.grantAll()
	must(f, f.s.Edges.Delete(edge(0)))
	f.use(restricted)
}

// An echo that comes in is no answer to one that went out.
func TestEchoUnderTheSameIdentifier(t *testing.T) {
	f := newFixture(t, Config{})
	f.onlyOut()
	for _, fam := range families {
		ping := bpftest.Frame{Src: fam.pod, Dst: fam.friend, Protocol: fam.ping, SrcPort: 9}
		f.want(fam.name+": echo", f.leave(ping), true)
		f.want(fam.name+": reply", f.enter(ping.Reverse()), true)
		back := ping.Reverse()
		back.Reply = false
		f.want(fam.name+": echo of the other end", f.enter(back), false)
	}
}

// Timestamp and its reply (RFC 792).
func TestTimestampIsAnswered(t *testing.T) {
	f := newFixture(t, Config{})
	f.onlyOut()
	f.want("timestamp", f.leave(message(pod4, friend4, 13, 0, 64, make([]byte, 16))), true)
	f.want("reply", f.enter(message(friend4, pod4, 14, 0, 64, make([]byte, 16))), true)
}

func TestICMPCutShort(t *testing.T) {
	f := newFixture(t, Config{})
	f.grantAll()
	f.use(restricted)
	for _, fam := range families {
		for _, kind := range []uint8{0, 3, 8, 128, 129} {
			frame := message(fam.pod, fam.friend, kind, 0, 64, nil)
			f.want(fam.name+": four bytes", f.leave(frame), false)
		}
	}
}
