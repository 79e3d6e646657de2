// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"errors"
	"fmt"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sluice-io/sluice/agent/rpc"
)

const privilegesPolicy = `
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: guard, namespace: NS}
spec:
  escalation:
    rules: [{classes: [Privileges], action: Kill}]
`

// testStarts: what the runtime does in 20 container starts and 20 execs, as root
// and as another user, is no escalation.
func (s *suite) testStarts(t *testing.T, namespace string) {
	s.put(t, "WorkloadPolicy", namespace, "guard", inNamespace(privilegesPolicy, namespace))
	p := s.newPod(t, namespace, "pod", nil)
	for i := range 20 {
		var options []option
		uid := "0"
		if i%2 == 1 {
			options, uid = append(options, asUser(1000)), "1000"
		}
		c := p.mustStart(t, fmt.Sprintf("c%d", i), pause, options...)
		if got := c.mustExec(t, "/bin/id", "-u"); got != uid {
			t.Errorf("exec %d runs as %s, want %s", i, got, uid)
		}
		if state := c.status(t).State; state != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("container %d is %s", i, state)
		}
		check(t, c.remove(t.Context()))
	}
	if events := p.events(t, "escalation"); len(events) != 0 {
		t.Errorf("the runtime escalated: %s", lines(events))
	}
}

// testPrivileges: a setuid program is dead before it does anything.
func (s *suite) testPrivileges(t *testing.T, namespace string) {
	p := s.newPod(t, namespace, "pod", nil)
	c := p.mustStart(t, "user", pause, asUser(1000))
	// Without a policy it works: the file is root's.
	c.mustExec(t, "/bin/sh", "-c", "/app/setuid touch /tmp/before; test -O /tmp/before && exit 1; test -e /tmp/before")
	s.put(t, "WorkloadPolicy", namespace, "guard", inNamespace(privilegesPolicy, namespace))
	_, err := c.exec(t.Context(), "/bin/sh", "-c", "/app/setuid touch /tmp/after")
	if exit, ok := errors.AsType[*exitError](err); !ok || exit.code != 128+9 {
		t.Errorf("setuid program: %v, want status 137", err)
	}
	c.mustExec(t, "/bin/test", "!", "-e", "/tmp/after")
	p.wantKill(t, false)
	if state := c.status(t).State; state != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the container is %s", state)
	}
	first := p.mustStart(t, "init", []string{"/bin/sh", "-c", "exec /app/setuid sleep 1h"}, asUser(1000))
	eventually(t, "the container's pid 1 is killed", func() error {
		if st := first.status(t); st.State != cri.ContainerState_CONTAINER_EXITED || st.ExitCode != 128+9 {
			return fmt.Errorf("the container is %s with status %d", st.State, st.ExitCode)
		}
		return nil
	})
	p.wantKill(t, true)
}

// wantKill waits for the event of a killed gain of privilege.
func (p *pod) wantKill(t *testing.T, containerEnded bool) {
	t.Helper()
	eventually(t, "escalation event", func() error {
		events := p.events(t, "escalation")
		for _, e := range events {
			if e.Class == "Privileges" && e.Outcome == "killed" && e.ContainerEnded == containerEnded &&
				e.Pod == (rpc.PodRef{Namespace: p.namespace, Name: p.name}) && e.Process.Path == "/app/setuid" &&
				e.Rule != nil && e.Rule.Kind == "WorkloadPolicy" && e.Rule.Name == "guard" {
				return nil
			}
		}
		return fmt.Errorf("not among %s", lines(events))
	})
}
