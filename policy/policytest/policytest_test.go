// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/sluice-io/sluice/policy"
)

// TestSeed makes the same cases, edits and flows from the same seed, and edits
// nothing in place.
func TestSeed(t *testing.T) {
	seed := rand.Uint64()
	again := func() (first, edited Case, flows []policy.Flow) {
		r := rand.New(rand.NewPCG(seed, 0))
		first = Random(r, Small)
		edited = first
		for range 20 {
			edited = edited.Edit(r)
			flows = append(flows, edited.Flow(r))
		}
		return first, edited, flows
	}
	first, edited, flows := again()
	first2, edited2, flows2 := again()
	untouched := Random(rand.New(rand.NewPCG(seed, 0)), Small)
	if !reflect.DeepEqual(edited, edited2) || !reflect.DeepEqual(flows, flows2) {
		t.Errorf("seed %d makes different cases", seed)
	}
	if !reflect.DeepEqual(first, untouched) || !reflect.DeepEqual(first, first2) {
		t.Errorf("seed %d: edits changed what was edited", seed)
	}
}
