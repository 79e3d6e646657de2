// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/containernetworking/plugins/pkg/ns"
)

// Command is an exec.Cmd that starts inside a network namespace and a cgroup: it
// is there before its first instruction and its exec.
type Command struct {
	*exec.Cmd
	netns, cgroup string
}

func newCommand(ctx context.Context, netns, cgroup, name string, args []string) *Command {
	return &Command{exec.CommandContext(ctx, name, args...), netns, cgroup}
}

// Start starts the program; the caller must Wait.
func (c *Command) Start() error {
	if c.cgroup != "" {
		if err := os.MkdirAll(c.cgroup, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
		dir, err := os.Open(c.cgroup)
		if err != nil {
			return fmt.Errorf("open cgroup: %w", err)
		}
		defer dir.Close()
		if c.SysProcAttr == nil {
			c.SysProcAttr = &syscall.SysProcAttr{}
		}
		c.SysProcAttr.UseCgroupFD = true
		c.SysProcAttr.CgroupFD = int(dir.Fd())
	}
	// A child begins in the namespace of the thread that forks it.
	return ns.WithNetNSPath(c.netns, func(ns.NetNS) error { return c.Cmd.Start() })
}

// Run starts the program and waits for its end.
func (c *Command) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// CombinedOutput runs the program and returns what it wrote to both outputs.
func (c *Command) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// Output runs the program and returns its standard output.
func (c *Command) Output() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}
