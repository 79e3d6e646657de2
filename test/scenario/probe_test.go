// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

// What a probe exits with; killed stands for SIGKILL.
const (
	ok      = 0
	silence = 2 // nothing came back in time
	eperm   = 13
	cannot  = 77
	killed  = -int(syscall.SIGKILL)
)

// outcome of a probe that ended.
type outcome struct {
	status int
	said   string
}

// endAs is end for an outcome that is awaited: silence need not last long to be
// believed, anything else may take its time on a busy machine.
func endAs(want int, cmd *harness.Command) (outcome, error) {
	timeout := 20 * time.Second
	if want == silence {
		timeout = 400 * time.Millisecond
	}
	cmd.Env = append(os.Environ(), "PROBE_TIMEOUT="+harness.Patience(timeout).String())
	return end(cmd)
}

// end runs a command and tells how it ended.
func end(cmd *harness.Command) (outcome, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	o := outcome{cmd.ProcessState.ExitCode(), out.String()}
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		o.status = -int(ws.Signal())
	}
	return o, nil
}

// command prepares a program in a pod.
func (w *world) command(p *harness.Pod, program string, args ...string) *harness.Command {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), harness.Patience(2*patience))
	w.Cleanup(cancel)
	return p.Command(ctx, program, args...)
}

// expect runs the probe in a pod and wants it to end like this.
func (w *world) expect(want int, p *harness.Pod, args ...string) {
	w.Helper()
	w.expectOf(want, p, built.probe, args...)
}

// expectOf is expect for another copy of the probe.
func (w *world) expectOf(want int, p *harness.Pod, program string, args ...string) {
	w.Helper()
	w.expectEnd(want, w.command(p, program, args...))
}

func (w *world) expectEnd(want int, cmd *harness.Command) {
	w.Helper()
	o, err := endAs(want, cmd)
	switch {
	case err != nil:
		w.Fatal(err)
	case o.status == cannot:
		skip(w.T, o.said)
	case o.status != want:
		w.Errorf("%s: ended with %d, want %d: %s", strings.Join(cmd.Args[1:], " "), o.status, want, o.said)
	}
}

// try is a run of the probe and how it is to end.
type try struct {
	want int
	args []string
}

// expectAll runs the probe in a pod as often as there are tries, at once.
func (w *world) expectAll(what string, p *harness.Pod, tries []try) {
	w.Helper()
	outcomes, errs := make([]outcome, len(tries)), make([]error, len(tries))
	var running sync.WaitGroup
	for i, t := range tries {
		cmd := w.command(p, built.probe, t.args...)
		running.Go(func() { outcomes[i], errs[i] = endAs(t.want, cmd) })
	}
	running.Wait()
	for i, t := range tries {
		if outcomes[i].status == cannot && os.Getenv("REQUIRE") == "" {
			w.Logf("skipped: %s", outcomes[i].said)
		} else if errs[i] != nil || outcomes[i].status != t.want {
			w.Errorf("%s: %s: ended with %d, want %d: %s %v",
				what, strings.Join(t.args, " "), outcomes[i].status, t.want, outcomes[i].said, errs[i])
		}
	}
}

// serve starts an echo server on every address of the pod.
func (w *world) serve(p *harness.Pod, network string, port uint16) {
	w.Helper()
	w.serveFrom(p, built.probe, network, port)
}

func (w *world) serveFrom(p *harness.Pod, program, network string, port uint16) {
	w.Helper()
	cmd := p.CommandIn(context.WithoutCancel(w.Context()), "server", program, "serve", network, fmt.Sprintf("[::]:%d", port))
	lines := w.begin(cmd)
	w.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line := <-lines; line != "ready" {
		w.Fatalf("server did not start: %q", line)
	}
}

// begin starts a command and gives what it says line by line, until it ends.
func (w *world) begin(cmd *harness.Command) <-chan string {
	w.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	lines := make(chan string, 1024)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	return lines
}

// stream is a client that sends without pause over one connection.
type stream struct {
	w     *world
	what  string
	cmd   *harness.Command
	lines <-chan string
}

// stream starts one and returns when its connection stands.
func (w *world) stream(p *harness.Pod, program, network, to string, options ...string) *stream {
	w.Helper()
	s := w.keep(p, program, append([]string{"stream", network, to}, options...)...)
	s.await("ready")
	return s
}

// keep starts a probe that goes on until the test ends.
func (w *world) keep(p *harness.Pod, program string, args ...string) *stream {
	w.Helper()
	cmd := p.CommandIn(context.WithoutCancel(w.Context()), args[0], program, args...)
	s := &stream{w: w, what: strings.Join(args, " "), cmd: cmd, lines: w.begin(cmd)}
	w.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return s
}

func (s *stream) await(line string) {
	s.w.Helper()
	timeout := time.After(harness.Patience(patience))
	for {
		select {
		case said, open := <-s.lines:
			if said == line {
				return
			}
			if !open {
				s.w.Fatalf("%s: ended before it said %q", s.what, line)
			}
		case <-timeout:
			s.w.Fatalf("%s: never said %q", s.what, line)
		}
	}
}

// next is what it says next.
func (s *stream) next() string {
	s.w.Helper()
	select {
	case said, open := <-s.lines:
		if !open {
			s.w.Fatalf("%s: ended", s.what)
		}
		return said
	case <-time.After(patience):
		s.w.Fatalf("%s: says nothing", s.what)
	}
	return ""
}

// drain skips what it has said so far, and counts that.
func (s *stream) drain() (lines int) {
	for ; ; lines++ {
		select {
		case <-s.lines:
		default:
			return lines
		}
	}
}

// stop ends the stream and tells what was sent and lost.
func (s *stream) stop() (sent, lost int) {
	s.w.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.w.Fatal(err)
	}
	var said []string
	for line := range s.lines {
		said = append(said, line)
		var gap string
		if n, _ := fmt.Sscanf(line, "sent %d lost %d longest-gap %s", &sent, &lost, &gap); n == 3 {
			return sent, lost
		}
	}
	s.w.Fatalf("%s: ended without a count: %q", s.what, said)
	return 0, 0
}

// lossless ends the stream, which must have lost nothing.
func (s *stream) lossless() {
	s.w.Helper()
	if sent, lost := s.stop(); lost != 0 || sent == 0 {
		s.w.Errorf("%s: lost %d of %d", s.what, lost, sent)
	}
}

// cut waits until the stream has lost a message and ends it.
func (s *stream) cut() {
	s.w.Helper()
	s.await("lost")
	s.stop()
}

// copyOf is a program of the test's own.
func copyOf(tb testing.TB, dir, name string) string {
	tb.Helper()
	return mustProgram(tb, dir+"/"+name)
}
