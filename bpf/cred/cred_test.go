// SPDX-License-Identifier: Apache-2.0

package cred

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

//go:generate go tool bpf2go -target bpfel -no-global-types -type trial gain gain.bpf.c

const (
	setgid = 1 << 6
	setuid = 1 << 7
	all    = 1<<41 - 1
	other  = 4026532000 // a user namespace that is not the base's
)

// who are credentials with one id for uid and gid.
func who(id uint32, caps uint64) gainTrialCreds {
	return gainTrialCreds{Caps: caps, Uid: [3]uint32{id, id, id}, Gid: [3]uint32{id, id, id}}
}

type gainTrialCreds = state.RawCreds

func with(c gainTrialCreds, change func(*gainTrialCreds)) gainTrialCreds {
	change(&c)
	return c
}

func TestGain(t *testing.T) {
	bpftest.RequireRoot(t)
	spec, err := loadGain()
	if err != nil {
		t.Fatal(err)
	}
	var objs struct {
		TryGain *ebpf.Program `ebpf:"try_gain"`
	}
	if err := spec.LoadAndAssign(&objs, nil); err != nil {
		t.Fatal(err)
	}
	defer objs.TryGain.Close()
	const caps, uid, gid = state.GainCaps, state.GainUID, state.GainGID
	for _, tc := range []struct {
		name      string
		base, now gainTrialCreds
		want      uint32
	}{
		{"nothing changed", who(1000, 0), who(1000, 0), 0},
		{"setuid root", who(1000, 0), with(who(1000, all), func(c *gainTrialCreds) { c.Uid[1], c.Uid[2] = 0, 0 }), caps | uid},
		{"setuid to another user", who(1000, 0), with(who(1000, 0), func(c *gainTrialCreds) { c.Uid[1], c.Uid[2] = 1001, 1001 }), uid},
		{"setgid", who(1000, 0), with(who(1000, 0), func(c *gainTrialCreds) { c.Gid[1], c.Gid[2] = 5, 5 }), gid},
		{"file capability", who(1000, 0), who(1000, setuid), caps},
		{"real uid alone", who(1000, 0), with(who(1000, 0), func(c *gainTrialCreds) { c.Uid[0] = 0 }), 0},
		{"saved uid taken up", with(who(1000, 0), func(c *gainTrialCreds) { c.Uid[2] = 0 }),
			with(who(1000, 0), func(c *gainTrialCreds) { c.Uid[1], c.Uid[2] = 0, 1000 }), 0},
		{"root drops to a user", who(0, all), who(1000, 0), 0},
		{"root drops step by step, gid first", who(0, all), with(who(0, all), func(c *gainTrialCreds) { c.Gid = [3]uint32{33, 33, 33} }), 0},
		{"root without CAP_SETUID", who(0, setgid), with(who(0, setgid), func(c *gainTrialCreds) { c.Uid[1], c.Uid[2] = 1000, 1000 }), uid},
		{"root without CAP_SETGID", who(0, setuid), with(who(0, setuid), func(c *gainTrialCreds) { c.Gid[1], c.Gid[2] = 1000, 1000 }), gid},
		{"user with CAP_SETUID takes root", who(1000, setuid), with(who(1000, setuid), func(c *gainTrialCreds) { c.Uid = [3]uint32{} }), uid},
		{"one capability more", who(0, setuid), who(0, setuid|setgid), caps},
		{"capabilities of a namespace of its own", who(1000, 0), with(who(1000, all), func(c *gainTrialCreds) { c.UserNs = other }), 0},
		{"uid in a namespace of its own", who(1000, 0), with(who(0, all), func(c *gainTrialCreds) { c.UserNs = other }), uid | gid},
	} {
		trial := gainTrial{Gain: 99}
		set(&trial, tc.base, tc.now)
		if _, err := objs.TryGain.Run(&ebpf.RunOptions{Context: &trial, ContextOut: &trial}); err != nil {
			t.Fatal(err)
		}
		if trial.Gain != tc.want {
			t.Errorf("%s: gain %d, want %d", tc.name, trial.Gain, tc.want)
		}
		if trial.Gain == 0 && trial.Base.Caps&^tc.base.Caps != 0 {
			t.Errorf("%s: the baseline rose to %#x", tc.name, trial.Base.Caps)
		}
	}
}

func set(t *gainTrial, base, now gainTrialCreds) {
	t.Base.Caps, t.Base.Uid, t.Base.Gid, t.Base.UserNs = base.Caps, base.Uid, base.Gid, base.UserNs
	t.Now.Caps, t.Now.Uid, t.Now.Gid, t.Now.UserNs = now.Caps, now.Uid, now.Gid, now.UserNs
}

// Attached only while wanted, and twice is once.
func TestAttachAndDetach(t *testing.T) {
	s, err := state.Create(bpftest.Dir(t), state.Sizes{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		if err := Attach(s); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := Detach(s.Dir); err != nil {
			t.Fatal(err)
		}
	}
}
