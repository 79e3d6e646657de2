// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"errors"
	"testing"
)

// dial connects from a program of the container, a copy of the probe.
func (c *container) dial(ctx context.Context, program, address string) (string, error) {
	return outcome(c.exec(ctx, program, "dial", "tcp", address, "--timeout", "500ms"))
}

// outcome says in a word how the probe fared, by its exit status.
func outcome(_ string, err error) (string, error) {
	exit, ok := errors.AsType[*exitError](err)
	switch {
	case err == nil:
		return "open", nil
	case ok && exit.code == 13:
		return "EPERM", nil
	case ok && exit.code == 2:
		return "timeout", nil
	}
	return "", err
}

func wantDial(t *testing.T, c *container, program, address, want string) {
	t.Helper()
	got, err := c.dial(t.Context(), program, address)
	if err != nil || got != want {
		t.Errorf("%s of pod %s to %s: %q, want %q (%v)", program, c.pod.name, address, got, want, err)
	}
}

// wantOpen waits for a program to be let out: what rules name in a container is
// found soon after its start.
func wantOpen(t *testing.T, c *container, program, address string) {
	t.Helper()
	eventually(t, program+" of pod "+c.pod.name+" is let out", func() error {
		got, err := c.dial(t.Context(), program, address)
		if err == nil && got != "open" {
			err = errors.New(got)
		}
		return err
	})
}

// wantRefused runs a script that ends with a dial, and wants it to be refused.
func wantRefused(t *testing.T, c *container, script, address string) {
	t.Helper()
	got, err := outcome(c.exec(t.Context(), "/bin/sh", "-c", script+" dial tcp "+address+" --timeout 500ms"))
	if err != nil || got != "EPERM" {
		t.Errorf("%s: %q, want EPERM (%v)", script, got, err)
	}
}
