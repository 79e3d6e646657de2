// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"fmt"
	"testing"
)

// testRestart: a container restarts in its sandbox, and the agent is killed while
// traffic goes on. Nothing opens, nothing is cut.
func (s *suite) testRestart(t *testing.T, namespace string) {
	client, address := s.ruled(t, namespace)
	for range 2 {
		c := client.mustStart(t, "main", pause)
		wantOpen(t, c, "/app/alpha", address)
		wantDial(t, c, "/app/beta", address, "EPERM")
		check(t, c.remove(t.Context()))
	}
	c := client.mustStart(t, "main", pause)
	wantOpen(t, c, "/app/alpha", address)
	type result struct {
		out string
		err error
	}
	stream := make(chan result, 1)
	go func() {
		out, err := c.exec(t.Context(), "/bin/timeout", "2", "/app/alpha", "stream", "tcp", address, "--wait", "500ms")
		stream <- result{out, err}
	}()
	s.killAgent(t)
	for range 3 {
		wantDial(t, c, "/app/alpha", address, "open")
		wantDial(t, c, "/app/beta", address, "EPERM")
	}
	s.startAgent(t)
	wantDial(t, c, "/app/alpha", address, "open")
	wantDial(t, c, "/app/beta", address, "EPERM")
	r := <-stream
	var sent, lost int
	if _, err := fmt.Sscanf(r.out, "ready\nsent %d lost %d", &sent, &lost); r.err != nil || err != nil || sent < 100 || lost != 0 {
		t.Errorf("the connection: %q (%v)", r.out, r.err)
	}
	s.wantPod(t, client)
}

// testAway: a container that starts while no agent runs belongs to its pod all the
// same. Its rules may be stricter until the agent is back, never looser.
func (s *suite) testAway(t *testing.T, namespace string) {
	client, address := s.ruled(t, namespace)
	s.killAgent(t)
	c := client.mustStart(t, "main", pause)
	if got, err := c.dial(t.Context(), "/app/beta", address); err != nil || got == "open" {
		t.Errorf("beta while the agent is away: %q (%v)", got, err)
	}
	if s.cgroupGiven { // else nobody has hung the socket programs at the container yet
		wantDial(t, c, "/app/alpha", address, "open")
	}
	s.startAgent(t)
	s.wantPod(t, client)
	wantOpen(t, c, "/app/alpha", address)
	wantDial(t, c, "/app/beta", address, "EPERM")
	wantOpen(t, c, "/app/gamma", address)
}
