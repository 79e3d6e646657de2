// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-io/sluice/policy/policytest"
)

func inputOf(c policytest.Case) Input {
	in := Input{Cluster: c.Cluster, Local: c.Local, Gives: everything}
	for _, paths := range c.Programs {
		in.Programs = append(in.Programs, Program{Paths: paths})
	}
	in.Programs = append(in.Programs, summed(c.Cluster)...)
	return in
}

func mustCompile(tb testing.TB, c *Compiler, in Input) *Image {
	tb.Helper()
	im, err := c.Compile(in)
	if err != nil {
		tb.Fatal(err)
	}
	return im
}

func diffImages(a, b *Image) string {
	return cmp.Diff(a, b, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}))
}

// TestFixedPoint compiles one input again and again, by one Compiler and by one
// that starts from its stored ids.
func TestFixedPoint(t *testing.T) {
	seed := testSeed(t)
	for round := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, round))
		former := policytest.Random(r, randomSize(r))
		in := inputOf(former.Edit(r))
		ids := new(IDs)
		c := New(ids)
		mustCompile(t, c, inputOf(former))
		mustCompile(t, c, in)
		second := mustCompile(t, c, in)
		stored, err := json.Marshal(ids)
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffImages(second, mustCompile(t, c, in)); diff != "" {
			t.Fatalf("seed %d, round %d: -second +third:\n%s", seed, round, diff)
		}
		loaded := new(IDs)
		if err := json.Unmarshal(stored, loaded); err != nil {
			t.Fatal(err)
		}
		if diff := diffImages(second, mustCompile(t, New(loaded), in)); diff != "" {
			t.Fatalf("seed %d, round %d: -second +after a restart:\n%s", seed, round, diff)
		}
	}
}

// TestForgets compares what a Compiler holds after many edits with what one holds
// that has seen the last cluster only.
func TestForgets(t *testing.T) {
	seed := testSeed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	c, last := New(new(IDs)), policytest.Random(r, policytest.Small)
	for range 100 {
		last = last.Edit(r)
		mustCompile(t, c, inputOf(last))
	}
	fresh := New(new(IDs))
	for range 3 {
		mustCompile(t, c, inputOf(last))
		mustCompile(t, fresh, inputOf(last))
	}
	sizes := func(c *Compiler) map[string]int {
		numbers := 0
		for _, e := range c.entries.known {
			numbers += len(e.numbers)
		}
		return map[string]int{
			"ids": len(c.ids.table), "entries": len(c.entries.known), "numbers": numbers, "policies": len(c.lowerer.known),
			"rule sets": len(c.last.known), "classes": len(c.addresses.classes.known), "objects": len(c.addresses.objects),
			"addresses": len(c.addresses.known), "prefixes": len(c.addresses.covered),
		}
	}
	if diff := cmp.Diff(sizes(fresh), sizes(c)); diff != "" {
		t.Errorf("seed %d: -fresh +after edits:\n%s", seed, diff)
	}
}

// TestDeterminism compiles one input by two Compilers from empty tables.
func TestDeterminism(t *testing.T) {
	seed := testSeed(t)
	in := inputOf(policytest.Random(rand.New(rand.NewPCG(seed, 0)), policytest.Small))
	a, b := mustCompile(t, New(new(IDs)), in), mustCompile(t, New(new(IDs)), in)
	if diff := diffImages(a, b); diff != "" {
		t.Errorf("seed %d: -one +other:\n%s", seed, diff)
	}
}

func TestIDsForget(t *testing.T) {
	ids := new(IDs)
	a, b := encode(1).sum(), encode(2).sum()
	round := func(contents ...sum) (out []uint32) {
		ids.begin()
		for _, c := range contents {
			out = append(out, ids.of(c).id)
		}
		if err := ids.end(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	var got [][]uint32
	for _, contents := range [][]sum{{a, b}, {b}, {a, b}, {b}, {b}, {a, b}} {
		got = append(got, round(contents...))
	}
	want := [][]uint32{{16, 17}, {17}, {16, 17}, {17}, {17}, {18, 17}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestIDsUsedUp(t *testing.T) {
	ids := new(IDs)
	mustRead(t, ids, `{"next": 4294967295, "ids": {}}`)
	in := inputOf(policytest.Random(rand.New(rand.NewPCG(1, 1)), policytest.Small))
	if _, err := New(ids).Compile(in); err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("Compile without ids: %v", err)
	}
}

func mustRead(tb testing.TB, ids *IDs, data string) {
	tb.Helper()
	if err := json.Unmarshal([]byte(data), ids); err != nil {
		tb.Fatal(err)
	}
}

func TestIDsRefuse(t *testing.T) {
	one, two := strings.Repeat("01", 32), strings.Repeat("02", 32)
	for name, data := range map[string]string{
		"id twice":       `{"next": 18, "ids": {"` + one + `": {"id": 16}, "` + two + `": {"id": 16}}}`,
		"id to come":     `{"next": 17, "ids": {"` + one + `": {"id": 17}}}`,
		"well-known id":  `{"next": 18, "ids": {"` + one + `": {"id": 1}}}`,
		"well-known end": `{"next": 0}`,
		"short hash":     `{"next": 18, "ids": {"0101": {"id": 16}}}`,
		"no hash":        `{"next": 18, "ids": {"` + strings.Repeat("x", 64) + `": {"id": 16}}}`,
		"long id":        `{"next": 18, "ids": {"` + one + `": {"id": 4294967312}}}`,
		"no table":       `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			ids := new(IDs)
			if err := json.Unmarshal([]byte(data), ids); err == nil {
				t.Errorf("read %s", data)
			}
			if ids.next != 0 || ids.table != nil {
				t.Errorf("a refused table changed the ids")
			}
		})
	}
}
