// SPDX-License-Identifier: Apache-2.0

package cri

import "testing"

// absentPolicy names a program that the image does not have.
const absentPolicy = `
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: absent, namespace: NS}
spec:
  podSelector: {matchLabels: {app: client}}
  egress:
    allow:
    - processes: [{path: /app/absent}]
`

// testTampered: a file that the pod puts in the place of a program is not that
// program, whatever the agent goes through meanwhile.
func (s *suite) testTampered(t *testing.T, namespace string) {
	client, address := s.ruled(t, namespace)
	s.put(t, "WorkloadPolicy", namespace, "absent", inNamespace(absentPolicy, namespace))
	const replace = "test -e /app/beta && mv /app/beta /app/alpha; /app/alpha"
	t.Run("replaced before a restart", func(t *testing.T) {
		c := client.mustStart(t, "main", pause)
		wantOpen(t, c, "/app/alpha", address)
		wantRefused(t, c, replace, address)
		s.killAgent(t)
		s.startAgent(t)
		wantOpen(t, c, "/app/gamma", address)
		wantRefused(t, c, replace, address)
		check(t, c.remove(t.Context()))
	})
	t.Run("made where there was none", func(t *testing.T) {
		c := client.mustStart(t, "main", pause)
		wantOpen(t, c, "/app/gamma", address)
		wantRefused(t, c, "cp /app/beta /app/absent; /app/absent", address)
		s.put(t, "Namespace", "", "unrelated", `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "unrelated"}}`)
		wantRefused(t, c, "/app/absent", address)
		check(t, c.remove(t.Context()))
	})
	t.Run("replaced while the agent is away", func(t *testing.T) {
		s.killAgent(t)
		c := client.mustStart(t, "main", pause)
		c.mustExec(t, "/bin/mv", "/app/beta", "/app/alpha")
		if got, err := c.dial(t.Context(), "/app/alpha", address); err != nil || got == "open" {
			t.Errorf("while the agent is away: %q (%v)", got, err)
		}
		s.startAgent(t)
		wantOpen(t, c, "/app/gamma", address)
		wantRefused(t, c, "/app/alpha", address)
	})
}
