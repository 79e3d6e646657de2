// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"path/filepath"
	"testing"
	"time"
)

func mustKernel(t *testing.T) Kernel {
	t.Helper()
	require(t)
	k, err := FindKernel(t.Context(), cache, series[0])
	if err != nil {
		skip(t, err.Error())
	}
	return k
}

// A guest that dies is told from one whose last command succeeded.
func TestPanic(t *testing.T) {
	results, err := Run(t.Context(), Config{Kernel: mustKernel(t)},
		Command{Dir: "/tmp/new", Env: []string{"WORD=it's"}, Args: []string{"sh", "-c", `echo "$PWD $WORD"; exit 3`}},
		Command{Dir: "/", Args: []string{"sh", "-c", "echo c > /proc/sysrq-trigger"}})
	if len(results) != 1 || results[0].Status != 3 || results[0].Output != "/tmp/new it's\n" {
		t.Errorf("results = %+v", results)
	}
	if err == nil {
		t.Error("nobody says that the guest died")
	}
}

// With ICount the guest's time does not pass by waiting, and is the same twice.
func TestICount(t *testing.T) {
	c := Config{Kernel: mustKernel(t), ICount: true}
	wait := Command{Dir: "/", Args: []string{"sleep", "120"}}
	count := Command{Dir: "/", Args: []string{"sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"}}
	start := time.Now()
	results, err := Run(t.Context(), c, wait, count, count)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > results[0].Took || results[0].Took < 2*time.Minute {
		t.Errorf("two minutes were %s there and %s here", results[0].Took, took)
	}
	if a, b := results[1].Took.Seconds(), results[2].Took.Seconds(); a <= 0 || max(a, b)/min(a, b) > 1.2 {
		t.Errorf("the same work took %.2f s and %.2f s", a, b)
	}
}

// What an open costs does not grow with the rules of others.
func TestInstructions(t *testing.T) {
	k := mustKernel(t)
	program := filepath.Join(t.TempDir(), "insns")
	if _, err := run(t.Context(), root, "go", "build", "-ldflags=-s -w", "-o", program, "./test/insns"); err != nil {
		t.Fatal(err)
	}
	got, err := Instructions(t.Context(), k, program)
	if err != nil {
		t.Fatal(err)
	}
	one, thousand := got["file_open_1_insns"], got["file_open_1000_insns"]
	t.Logf("%d instructions under 1 rule, %d under 1,000", one, thousand)
	if one == 0 || float64(thousand) > 1.5*float64(one) {
		t.Errorf("%v: too much under 1,000 rules", got)
	}
}
