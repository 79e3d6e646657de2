// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

// TestInstall attaches, adopts and removes in a namespace of the test's own.
func TestInstall(t *testing.T) {
	bpftest.Netns(t)
	s, err := state.Create(bpftest.Dir(t), state.Sizes{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	for range 2 {
		must(t, Install(s, door.Config{}))
	}
	must(t, Remove(s.Dir))
	must(t, Remove(s.Dir))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
