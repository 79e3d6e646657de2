// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// readyTimeout bounds the wait for an agent to be ready, and to end.
const readyTimeout = 30 * time.Second

// Agent is a running `sluice agent`.
type Agent struct {
	node *Node
	args []string
	cmd  *Command
	done chan struct{} // closed when the process is gone
}

// StartAgent starts `sluice agent` with the node's roots and further args, and
// returns when it is ready. One agent runs at a time.
func (n *Node) StartAgent(ctx context.Context, args ...string) (*Agent, error) {
	if n.agentRuns() {
		return nil, errors.New("start agent: one is running")
	}
	log, err := os.OpenFile(n.AgentLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open agent log: %w", err)
	}
	defer log.Close()
	all := append([]string{"agent", "--socket", n.Socket, "--bpffs", n.Bpffs, "--state-dir", n.StateDir,
		"--manifests", n.Manifests, "--cgroup-root", n.CgroupRoot}, args...)
	// It outlives ctx: Terminate, Kill9 and Close end it.
	cmd := newCommand(context.WithoutCancel(ctx), n.Netns, filepath.Join(n.CgroupRoot, "system", "agent"), n.cfg.Agent, all)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	a := &Agent{node: n, args: args, cmd: cmd, done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(a.done)
	}()
	n.mu.Lock()
	n.agent = a
	n.mu.Unlock()
	if err := a.waitReady(ctx); err != nil {
		said, _ := os.ReadFile(n.AgentLog())
		return nil, errors.Join(fmt.Errorf("start agent: %w; it said:\n%s", err, said), a.Kill9())
	}
	return a, nil
}

func (a *Agent) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Patience(readyTimeout))
	defer cancel()
	for {
		err := a.node.Client().Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-a.done:
			return fmt.Errorf("it ended: %s", a.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (n *Node) agentRuns() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.agent == nil {
		return false
	}
	select {
	case <-n.agent.done:
		return false
	default:
		return true
	}
}

// AgentLog is the file that holds what the node's agents wrote.
func (n *Node) AgentLog() string { return filepath.Join(n.Root, "log", "agent.log") }

// PID is the process id.
func (a *Agent) PID() int { return a.cmd.Process.Pid }

// Done is closed when the agent is gone.
func (a *Agent) Done() <-chan struct{} { return a.done }

// Kill9 kills the agent and waits until it is gone.
func (a *Agent) Kill9() error {
	_, err := a.end(syscall.SIGKILL)
	return err
}

// Terminate asks the agent to end and waits; an exit status above 0 is an error.
func (a *Agent) Terminate() error {
	state, err := a.end(syscall.SIGTERM)
	if err == nil && !state.Success() {
		return fmt.Errorf("agent ended: %s", state)
	}
	return err
}

func (a *Agent) end(signal os.Signal) (*os.ProcessState, error) {
	if err := a.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, fmt.Errorf("signal agent: %w", err)
	}
	select {
	case <-a.done:
		return a.cmd.ProcessState, nil
	case <-time.After(Patience(readyTimeout)):
		return nil, fmt.Errorf("agent has not ended %s after %s", Patience(readyTimeout), signal)
	}
}

// Restart ends the agent and starts another with the same arguments.
func (a *Agent) Restart(ctx context.Context) (*Agent, error) {
	if err := a.Terminate(); err != nil {
		return nil, err
	}
	return a.node.StartAgent(ctx, a.args...)
}
