// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sluice-io/sluice/test/vm"
)

const (
	guestSeries = "6.12" // of the guest's kernel
	insnsSource = "github.com/sluice-io/sluice/test/insns"
)

// opens measures what the program on opening files costs, by instructions in a guest.
// Where there can be no guest it says why, and leaves the figures out.
func opens(ctx context.Context, f figures, bin string) error {
	kernel, err := findGuest(ctx, bin)
	if errors.Is(err, vm.ErrUnavailable) || errors.Is(err, exec.ErrNotFound) {
		fmt.Fprintf(os.Stderr, "bench: opens: left out: %v\n", err)
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "insns")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", program, insnsSource)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build insns: %w: %s", err, out)
	}
	costs, err := vm.Instructions(ctx, kernel, program)
	if err != nil {
		return err
	}
	for _, name := range []string{"file_open_1_insns", "file_open_1000_insns"} {
		if costs[name] == 0 {
			return fmt.Errorf("%s: not measured", name)
		}
		f.add(name, float64(costs[name]), "")
	}
	return nil
}

func findGuest(ctx context.Context, bin string) (vm.Kernel, error) {
	for _, program := range []string{"qemu-system-x86_64", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			return vm.Kernel{}, fmt.Errorf("find guest: %w", err)
		}
	}
	return vm.FindKernel(ctx, filepath.Join(bin, "vm"), guestSeries)
}
