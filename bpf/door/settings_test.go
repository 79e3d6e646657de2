// SPDX-License-Identifier: Apache-2.0

package door

import (
	"syscall"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

const (
	spoofEnforce = iota
	spoofAudit
	spoofOff
)

func (f *fixture) set(n state.RawNode) {
	f.Helper()
	must(f, f.s.Settings.Put(uint32(0), n))
}

// A setting other than Enforce lets spoofed frames through to the policy, which
// judges them; what is for another pod still does not enter this one.
func TestAntiSpoofing(t *testing.T) {
	for name, mode := range map[string]uint8{"audit": spoofAudit, "off": spoofOff} {
		f := newFixture(t, Config{})
		f.set(state.RawNode{AntiSpoofing: mode})
		f.use(restricted)
		for _, fam := range families {
			before := f.count(f.s.Oddities, state.Oddities(), "spoofed")
			f.want(name+": allowed", f.leave(syn(fam.podNet, fam.friend, 1000, 80)), true)
			f.want(name+": denied", f.leave(syn(fam.podNet, fam.friend, 1000, 81)), false)
			fake := syn(fam.pod, fam.friend, 1001, 80)
			fake.MAC = foreignMAC()
			f.want(name+": foreign MAC", f.leave(fake), true)
			f.want(name+": foreign destination", f.enter(syn(fam.friend, fam.podNet, 1000, 80)), false)
			n := f.count(f.s.Oddities, state.Oddities(), "spoofed") - before
			if audited := n != 0; audited != (mode == spoofAudit) {
				t.Errorf("%s: %d frames counted as spoofed", name, n)
			}
		}
		f.want(name+": ARP", f.leaves(arp(2, bpftest.PodMAC(), friend4, stranger)), true)
		f.want(name+": advertisement", f.leave(nd(pod6, allNodes, advert, 255, friend6, 8)), true)
	}
}

// Enforced again, at once and for flows that were begun meanwhile.
func TestAntiSpoofingIsTurnedOn(t *testing.T) {
	f := newFixture(t, Config{})
	f.set(state.RawNode{AntiSpoofing: spoofOff})
	f.use(restricted)
	f.want("off", f.leave(syn(families[0].podNet, friend4, 1000, 80)), true)
	f.set(state.RawNode{AntiSpoofing: spoofEnforce})
	f.want("enforced", f.leave(syn(families[0].podNet, friend4, 1001, 80)), false)
	fake := syn(pod4, friend4, 1000, 80)
	fake.MAC = foreignMAC()
	f.want("foreign MAC", f.leave(fake), false)
}

func TestKnownFlowsWhenAntiSpoofingIsTurnedOn(t *testing.T) {
	f := newFixture(t, Config{})
	f.set(state.RawNode{AntiSpoofing: spoofOff})
	f.use(restricted)
	fake := long(families[0].podNet, friend4, 53)
	f.want("off", f.leave(fake), true)
	f.set(state.RawNode{AntiSpoofing: spoofEnforce})
	f.want("enforced", f.leave(fake), false)
}

func TestKeep(t *testing.T) {
	for name, keep := range map[string]uint8{"keep": 1, "recheck": 0} {
		f := newFixture(t, Config{})
		f.set(state.RawNode{Keep: keep})
		for _, fam := range families {
			f.use(restricted)
			ask, unanswered := syn(fam.pod, fam.friend, 1000, 80), syn(fam.pod, fam.friend, 1001, 80)
			f.shake(ask)
			f.want(name+": unanswered", f.leave(unanswered), true)
			f.use(locked)
			f.want(name+": open, out", f.leave(segment(ask, nil)), keep == 1)
			f.want(name+": open, in", f.enter(segment(ask.Reverse(), nil)), keep == 1)
			f.want(name+": unanswered", f.leave(unanswered), false)
			f.want(name+": its answer", f.enter(segment(unanswered.Reverse(), synAnswer)), false)
			f.want(name+": new", f.leave(syn(fam.pod, fam.friend, 1002, 80)), false)
			f.use(state.RuleSetClosed)
			f.want(name+": open, closed pod", f.leave(segment(ask, nil)), keep == 1)
		}
	}
}

// Keep is for the connection, not for the next one under its ports.
func TestKeepIsForTheConnection(t *testing.T) {
	f := newFixture(t, Config{})
	f.set(state.RawNode{Keep: 1})
	for _, fam := range families {
		f.use(restricted)
		ask := syn(fam.pod, fam.friend, 1000, 80)
		f.shake(ask)
		f.use(locked)
		f.want(fam.name+": SYN of the other end", f.enter(segment(ask.Reverse(), withSYN)), false)
		f.use(restricted)
		f.use(locked)
		f.want(fam.name+": SYN", f.leave(ask), false)
		f.want(fam.name+": the connection", f.leave(segment(ask, nil)), true)
	}
}

// For the time that enforcement is off everything passes and is counted.
func TestEnforcementOff(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	var now syscall.Sysinfo_t // by CLOCK_BOOTTIME, rounded up to seconds
	must(t, syscall.Sysinfo(&now))
	frames := func(port uint16) map[string][2][]byte { // out and in
		nine := syn(pod6, friend6, port, 80)
		fake := syn(pod4, friend4, port+1, 80)
		fake.MAC = foreignMAC()
		return map[string][2][]byte{
			"default-deny": {syn(pod4, friend4, port, 81).Bytes(t), syn(stranger, pod4, port, 80).Bytes(t)},
			"spoofed":      {fake.Bytes(t), syn(stranger, friend4, port, 80).Bytes(t)},
			"malformed":    {extend(nine.Bytes(t), many(9)...), tag(syn(friend4, pod4, port, 80).Bytes(t), 0x8100, 5)},
			"fragment":     {piece(long(pod4, friend4, 53).Bytes(t), uint32(port), 32, 72, false), piece(long(friend6, pod6, 53).Bytes(t), uint32(port), 32, 72, false)},
		}
	}
	check := func(what string, want bool) {
		t.Helper()
		for reason, b := range frames(1000) {
			dropped, spared := f.drops(reason), f.count(f.s.Spared, state.Reasons(), reason)
			f.want(what+": "+reason, f.leaves(b[0]), want)
			f.want(what+": "+reason+", in", f.enters(b[1]), want)
			f.want(what+": "+reason+", again", f.leaves(b[0]), want)
			dropped, spared = f.drops(reason)-dropped, f.count(f.s.Spared, state.Reasons(), reason)-spared
			if passed := spared == 3 && dropped == 0; passed != want {
				t.Errorf("%s: %s: %d dropped and %d spared of 3", what, reason, dropped, spared)
			}
		}
	}
	check("on", false)
	f.set(state.RawNode{OffUntil: uint64(now.Uptime+3600) * 1e9})
	check("off", true)
	f.set(state.RawNode{})
	check("on again", false)
	f.set(state.RawNode{OffUntil: uint64(now.Uptime-2) * 1e9})
	check("over", false)
}

// What began while enforcement was off ends with it, both ways.
func TestFlowsOfEnforcementOff(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(restricted)
	f.set(state.RawNode{OffUntil: ^uint64(0)})
	out, in := syn(pod4, stranger, 1000, 80), syn(stranger, pod4, 2000, 80)
	f.shake(out)
	f.want("from a stranger", f.enter(in), true)
	f.want("answer", f.leave(segment(in.Reverse(), synAnswer)), true)
	f.set(state.RawNode{})
	f.want("out", f.leave(segment(out, nil)), false)
	f.want("answer of the stranger", f.enter(segment(out.Reverse(), nil)), false)
	f.want("from a stranger", f.enter(segment(in, nil)), false)
	f.want("answer to a stranger", f.leave(segment(in.Reverse(), nil)), false)
}
