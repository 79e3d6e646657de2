// SPDX-License-Identifier: Apache-2.0

// Package demo tells what Sluice does on three pods made for it: an agent, a real
// conflist run by libcni, real servers and clients. Every step checks itself.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// Config says what the demo is made of.
type Config struct {
	Sluice string   // the sluice binary
	CNI    []string // folders of sluice-cni and the plugins it is chained to
	Probe  string   // the client and server that runs in the pods
	Out    io.Writer
}

// story is the state between steps.
type story struct {
	Config
	node     *harness.Node
	agent    *harness.Agent
	programs string // folder of the pods' programs
	web      *harness.Pod
	checkout *harness.Pod
	stranger *harness.Pod
	step     int
}

// Run tells the story and cleans up. The error names the step that did not come
// out as told.
func Run(ctx context.Context, c Config) (err error) {
	begin := time.Now()
	s := &story{Config: c}
	defer func() {
		s.title("Clean-up")
		if clean := s.close(); clean != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", clean))
			return
		}
		if s.node != nil {
			s.ok("looked: no namespace, link, pin, cgroup, file or process is left")
		}
		if err == nil {
			fmt.Fprintf(c.Out, "\nAll steps came out as told, in %.1f s.\n", time.Since(begin).Seconds())
		}
	}()
	for _, step := range []func(context.Context) error{
		s.attach, s.allowAndDeny, s.oneProgram, s.escalate, s.killAgent,
	} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("step %d: %w", s.step, err)
		}
	}
	return nil
}

func (s *story) title(format string, args ...any) {
	s.step++
	fmt.Fprintf(s.Out, "\n%d. %s\n", s.step, fmt.Sprintf(format, args...))
}

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.Out, "   %s\n", fmt.Sprintf(format, args...))
}
func (s *story) ok(format string, args ...any) {
	fmt.Fprintf(s.Out, "   ok  %s\n", fmt.Sprintf(format, args...))
}

// set makes the node, its programs and the agent.
func (s *story) set(ctx context.Context) error {
	for _, path := range []string{s.Sluice, s.Probe, filepath.Join(s.CNI[0], "sluice-cni")} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run `make` first", err)
		}
	}
	n, err := harness.NewNode(harness.Config{CNIPath: s.CNI, Agent: s.Sluice, Portmap: true})
	if err != nil {
		return err
	}
	s.node = n
	if s.programs, err = makePrograms(s.Probe, "server", "payments", "backup", "helper"); err != nil {
		return err
	}
	s.agent, err = n.StartAgent(ctx, "--node-name", "demo")
	return err
}

// close takes everything down, also what a failed step left, and looks whether it is
// gone.
func (s *story) close() error {
	if s.node == nil {
		return nil
	}
	left := tracesOf(s.node, s.programs)
	errs := []error{s.node.Close()}
	if s.programs != "" {
		errs = append(errs, removePrograms(s.programs))
	}
	return errors.Join(append(errs, left.gone())...)
}

// apply puts a manifest in force through the API, as `sluice apply` does.
func (s *story) apply(ctx context.Context, kind, namespace, name, manifest string) error {
	reply, err := s.node.Client().Put(ctx, kind, namespace, name, []byte(manifest))
	if err != nil {
		return fmt.Errorf("apply %s: %w", name, err)
	}
	s.say("sluice apply: %s/%s/%s %s (revision %d)", kind, namespace, name, reply.State, reply.Revision)
	return nil
}

func (s *story) pod(ctx context.Context, name string) (*harness.Pod, error) {
	return s.node.AddPod(ctx, harness.PodSpec{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}})
}

// program is a copy of the probe in the pods' folder.
func (s *story) program(name string) string { return filepath.Join(s.programs, name) }

// flow waits for the report of a flow that match chooses.
func (s *story) flow(ctx context.Context, match func(rpc.Flow) bool) (rpc.Flow, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		var found *rpc.Flow
		err := s.node.Client().Flows(ctx, rpc.Query{}, func(f rpc.Flow) error {
			if match(f) {
				found = &f
			}
			return nil
		}, nil)
		switch {
		case err != nil:
			return rpc.Flow{}, err
		case found != nil:
			return *found, nil
		}
		select {
		case <-ctx.Done():
			return rpc.Flow{}, errors.New("the flow was not reported")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// show prints a flow as a person reads it.
func (s *story) show(f rpc.Flow) {
	side := func(e rpc.Endpoint) string {
		name := e.IP.String()
		if e.Pod != "" {
			name = e.Namespace + "/" + e.Pod
		}
		if e.Process != nil {
			name += " [" + filepath.Base(e.Process.Path) + "]"
		}
		return name
	}
	why := f.Reason
	if f.Rule != nil {
		why = fmt.Sprintf("%s/%s rule %d", f.Rule.Kind, f.Rule.Name, f.Rule.Index)
	}
	s.say("sluice flows: %-7s %s -> %s:%d %s at %s (%s)", f.Verdict, side(f.Source), side(f.Destination), f.Destination.Port,
		f.Protocol, f.Pod.Name, why)
}
