// SPDX-License-Identifier: Apache-2.0

package sock

import (
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

// What the programs do is tested with real sockets in test/scenario.
func TestInstallTwice(t *testing.T) {
	s, err := state.Create(bpftest.Dir(t), state.Sizes{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		if err := Install(s, door.Config{HalfOpen: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUseLoads(t *testing.T) {
	bpftest.RequireRoot(t)
	s, err := state.New()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	coll, err := LoadUse(s)
	if err != nil {
		t.Fatal(err)
	}
	coll.Close()
}
