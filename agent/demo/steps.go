// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

const (
	port = 8080
	// patience bounds a dial that is expected to fail in silence.
	patience = "700ms"
)

// attach shows that a pod's gate stands when CNI ADD returns.
func (s *story) attach(ctx context.Context) error {
	s.title("Three pods through a real conflist: bridge, portmap, sluice-cni")
	if err := s.set(ctx); err != nil {
		return err
	}
	for name, to := range map[string]**harness.Pod{"web": &s.web, "checkout": &s.checkout, "stranger": &s.stranger} {
		p, err := s.pod(ctx, name)
		if err != nil {
			return err
		}
		*to = p
	}
	pods, err := s.node.Client().Pods(ctx)
	if err != nil {
		return err
	}
	if len(pods) != 3 {
		return fmt.Errorf("%d pods are attached, want 3", len(pods))
	}
	for _, p := range pods {
		if p.State != "enforced" {
			return fmt.Errorf("pod %s is %s, want enforced", p.Name, p.State)
		}
		s.say("sluice get pods: %s/%-8s %s %v", p.Namespace, p.Name, p.State, p.IPs)
	}
	if err := s.serve(ctx); err != nil {
		return err
	}
	s.ok("every pod was identified and ruled when ADD returned")
	return nil
}

// serve starts an echo server in web.
func (s *story) serve(ctx context.Context) error {
	cmd := s.web.Command(ctx, s.program("server"), "serve", "tcp", "0.0.0.0:"+strconv.Itoa(port))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		return fmt.Errorf("wait for the server: %w", err)
	}
	return nil // it ends with its cgroup
}

// dial tries the server from a pod with one of its programs.
func (s *story) dial(ctx context.Context, from *harness.Pod, program string) error {
	to := fmt.Sprintf("%s:%d", s.web.IPv4(), port)
	out, err := from.Command(ctx, s.program(program), "dial", "tcp", to, "--timeout", patience).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// allowAndDeny shows a NetworkPolicy.
func (s *story) allowAndDeny(ctx context.Context) error {
	s.title("NetworkPolicy: only checkout may reach web")
	err := s.apply(ctx, "NetworkPolicy", "shop", "web", `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: checkout}}}]
    ports: [{protocol: TCP, port: 8080}]
`)
	if err != nil {
		return err
	}
	if err := s.dial(ctx, s.checkout, "payments"); err != nil {
		return fmt.Errorf("checkout could not reach web: %w", err)
	}
	if err := s.dial(ctx, s.stranger, "payments"); err == nil {
		return errors.New("the stranger reached web")
	}
	for pod, verdict := range map[string]string{"checkout": "allowed", "stranger": "denied"} {
		f, err := s.flow(ctx, func(f rpc.Flow) bool {
			return f.Pod.Name == "web" && f.Source.Pod == pod && f.Verdict == verdict
		})
		if err != nil {
			return fmt.Errorf("%s's flow: %w", pod, err)
		}
		s.show(f)
	}
	s.ok("checkout reached web, the stranger heard nothing")
	return nil
}

// oneProgram shows a process rule.
func (s *story) oneProgram(ctx context.Context) error {
	s.title("WorkloadPolicy: in checkout, only the program payments may go out")
	err := s.apply(ctx, "WorkloadPolicy", "shop", "checkout", `
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: checkout, namespace: shop}
spec:
  podSelector: {matchLabels: {app: checkout}}
  egress:
    allow:
    - to: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{protocol: TCP, port: 8080}]
      processes: [{path: `+s.program("payments")+`}]
`)
	if err != nil {
		return err
	}
	if err := s.dial(ctx, s.checkout, "payments"); err != nil {
		return fmt.Errorf("payments could not go out: %w", err)
	}
	err = s.dial(ctx, s.checkout, "backup")
	if err == nil {
		return errors.New("backup, another program of the pod, went out")
	}
	for program, verdict := range map[string]string{"payments": "allowed", "backup": "denied"} {
		f, err := s.flow(ctx, func(f rpc.Flow) bool {
			return f.Pod.Name == "checkout" && f.Verdict == verdict && f.Source.Process != nil &&
				filepath.Base(f.Source.Process.Path) == program
		})
		if err != nil {
			return fmt.Errorf("%s's flow: %w", program, err)
		}
		s.show(f)
	}
	s.ok("payments went out; backup got: %v", err)
	return nil
}

// escalate shows an escalation killed.
func (s *story) escalate(ctx context.Context) error {
	s.title("Escalation: a setuid program in the stranger pod")
	err := s.apply(ctx, "WorkloadPolicy", "shop", "stranger", `
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: stranger, namespace: shop}
spec:
  podSelector: {matchLabels: {app: stranger}}
  escalation:
    rules: [{classes: [Privileges], action: Kill}]
`)
	if err != nil {
		return err
	}
	if err := os.Chmod(s.program("helper"), 0o755|fs.ModeSetuid); err != nil {
		return fmt.Errorf("make the setuid program: %w", err)
	}
	witness := filepath.Join(s.programs, "open", "witness")
	asUser := func(program string) error {
		cmd := s.stranger.Command(ctx, s.program("backup"), "exec", s.program(program), "touch", witness)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
		return cmd.Run()
	}
	if err := asUser("payments"); err != nil {
		return fmt.Errorf("an ordinary program was hindered: %w", err)
	}
	if err := os.Remove(witness); err != nil {
		return fmt.Errorf("the ordinary program did nothing: %w", err)
	}
	if err := asUser("helper"); err == nil {
		return errors.New("the setuid program ended well")
	}
	if _, err := os.Stat(witness); err == nil {
		return errors.New("the setuid program ran: its file is there")
	}
	ev, err := s.killed(ctx)
	if err != nil {
		return err
	}
	s.say("sluice events: %s %s %s/%s [%s]: %s", ev.Outcome, ev.Class, ev.Pod.Namespace, ev.Pod.Name, filepath.Base(ev.Process.Path), ev.Detail)
	s.ok("it was killed before its first instruction: its file is not there")
	return nil
}

// killed waits for the report of the kill.
func (s *story) killed(ctx context.Context) (rpc.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var found rpc.Event
	enough := errors.New("found")
	err := s.node.Client().Events(ctx, rpc.Query{Follow: true, Type: "escalation", Outcome: "killed"}, func(ev rpc.Event) error {
		found = ev
		return enough
	}, nil)
	if !errors.Is(err, enough) {
		return found, fmt.Errorf("the kill was not reported: %w", err)
	}
	return found, nil
}

// killAgent shows that the kernel decides alone.
func (s *story) killAgent(ctx context.Context) error {
	s.title("The agent is killed with -9 while traffic goes on")
	stream := s.checkout.Command(ctx, s.program("payments"), "stream", "tcp", fmt.Sprintf("%s:%d", s.web.IPv4(), port))
	var said bytes.Buffer
	stream.Stdout, stream.Stderr = &said, &said
	if err := stream.Start(); err != nil {
		return fmt.Errorf("start stream: %w", err)
	}
	if err := s.agent.Kill9(); err != nil {
		return err
	}
	s.say("the agent, pid %d, is dead", s.agent.PID())
	if err := s.dial(ctx, s.checkout, "payments"); err != nil {
		return fmt.Errorf("without an agent, payments could not go out: %w", err)
	}
	if err := s.dial(ctx, s.checkout, "backup"); err == nil {
		return errors.New("without an agent, backup went out")
	}
	if err := s.dial(ctx, s.stranger, "payments"); err == nil {
		return errors.New("without an agent, the stranger reached web")
	}
	s.say("without it: payments goes out, backup is refused, the stranger hears nothing")
	agent, err := s.node.StartAgent(ctx, "--node-name", "demo")
	if err != nil {
		return err
	}
	s.agent = agent
	if err := stream.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("end stream: %w", err)
	}
	if err := stream.Wait(); err != nil {
		return fmt.Errorf("the stream was disturbed: %w: %s", err, said.String())
	}
	s.ok("over its death and restart the stream %s", strings.TrimPrefix(strings.TrimSpace(said.String()), "ready\n"))
	return nil
}
