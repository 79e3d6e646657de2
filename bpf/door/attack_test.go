// SPDX-License-Identifier: Apache-2.0

package door

import (
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// TestDeniedConnectionStaysDenied: the peer's frames of a connection that was denied
// do not begin one of their own, though ingress is open.
func TestDeniedConnectionStaysDenied(t *testing.T) {
	f := newFixture(t, Config{})
	must(t, f.s.Rulesets.Put(uint32(22), state.RawRuleset{Active: [8]uint8{5: 1}})) // egress alone
	f.use(22)
	ask := syn(pod4, stranger, 1000, 80)
	f.want("SYN", f.leave(ask), false)
	answer := ask.Reverse()
	answer.ACK = true
	answer.Payload = []byte("data")
	f.want("data of the peer", f.enter(answer), false)
	data := ask
	data.SYN, data.ACK = false, true
	f.want("data of the pod", f.leave(data), false)
	own := syn(stranger, pod4, 80, 1000)
	f.want("a connection of the peer's own", f.enter(own), true)
}

// What may begin anew where a flow was denied, though ingress is open: a connection of
// the peer's own, or a datagram, which says of itself no more. No answer, and nothing
// of a flow that was cut.
func TestDeniedFlowIsRevived(t *testing.T) {
	ask := syn(pod4, stranger, 1000, 80)
	question := bpftest.Frame{Src: pod4, Dst: stranger, Protocol: udp, SrcPort: 1000, DstPort: 53}
	answer := func(change func(*bpftest.Frame)) bpftest.Frame { return segment(ask.Reverse(), change) }
	for _, tc := range []struct {
		name              string
		ask, answer       bpftest.Frame
		denied, cut, back bool // passes after a denial; after a cut; the pod's next frame, then
	}{
		{"TCP, SYN", ask, answer(withSYN), true, true, true},
		{"TCP, SYN and ACK", ask, answer(synAnswer), false, false, false},
		{"TCP, data", ask, answer(nil), false, false, false},
		{"TCP, FIN", ask, answer(withFIN), false, false, false},
		{"TCP, RST", ask, answer(withRST), false, false, false},
		{"UDP", question, question.Reverse(), true, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, Config{})
			must(t, f.s.Rulesets.Put(uint32(22), state.RawRuleset{Active: [8]uint8{5: 1}})) // egress alone
			next := segment(tc.ask, nil)
			f.use(22)
			f.want("question", f.leave(tc.ask), false)
			f.want("the peer's", f.enter(tc.answer), tc.denied)
			f.want("the pod's next", f.leave(next), tc.back)
			f.want("the peer's, again", f.enter(tc.answer), tc.denied)

			cut := tc.ask
			cut.SrcPort++
			late, next := tc.answer, segment(cut, nil)
			late.DstPort++
			f.use(state.RuleSetOpen)
			f.want("question that is cut later", f.leave(cut), true)
			f.use(22)
			f.want("the pod's next, cut", f.leave(next), false)
			f.want("the peer's, cut", f.enter(late), tc.cut)
			f.want("the peer's, cut, again", f.enter(late), tc.cut)
		})
	}
}

// TestCutConnectionUnderLaterRules: it stays cut, whatever rules come after those that cut it, as long as
// none allows it, also where the answering direction is open.
func TestCutConnectionUnderLaterRules(t *testing.T) {
	f := newFixture(t, Config{})
	must(t, f.s.Rulesets.Put(uint32(50), state.RawRuleset{Active: [8]uint8{1: 1}, Lists: isolating.Lists}))
	for ruleset := range uint32(3) { // ingress alone
		must(t, f.s.Rulesets.Put(51+ruleset, state.RawRuleset{Active: [8]uint8{1: 1}}))
	}
	f.use(50)
	ask := syn(friend4, pod4, 1000, 80)
	f.want("SYN", f.enter(ask), true)
	f.want("SYN-ACK", f.leave(segment(ask.Reverse(), synAnswer)), true)
	f.want("ACK", f.enter(segment(ask, nil)), true)
	for ruleset := range uint32(3) {
		f.use(51 + ruleset)
		f.want("data of the peer", f.enter(segment(ask, nil)), false)
		f.want("data of the pod", f.leave(segment(ask.Reverse(), nil)), false)
	}
	for ruleset := range uint32(3) {
		f.use(51 + ruleset)
		f.want("data of the pod first", f.leave(segment(ask.Reverse(), nil)), false)
		f.want("data of the peer", f.enter(segment(ask, nil)), false)
	}
	f.want("a connection of the pod's own", f.leave(syn(pod4, friend4, 80, 1000)), true)
}
