// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"fmt"
	"testing"
)

const driftPolicy = `
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: drift, namespace: NS}
spec:
  exec: {imageOnly: true, action: Kill}
`

// testDrift: the image's programs start and run, and nothing that was added since.
func (s *suite) testDrift(t *testing.T, namespace string) {
	p := s.newPod(t, namespace, "pod", nil)
	const added = "cp /bin/busybox /tmp/touch; /tmp/touch /tmp/effect"
	free := p.mustStart(t, "free", pause)
	free.mustExec(t, "/bin/sh", "-c", added+"; test -e /tmp/effect")
	s.put(t, "WorkloadPolicy", namespace, "drift", inNamespace(driftPolicy, namespace))
	for i := range 5 {
		c := p.mustStart(t, fmt.Sprintf("c%d", i), pause)
		if got := c.mustExec(t, "/bin/id", "-u"); got != "0" {
			t.Errorf("id: %q", got)
		}
		if _, err := c.exec(t.Context(), "/bin/sh", "-c", added+" || exit $?"); err == nil {
			t.Error("a copy ran")
		}
		c.mustExec(t, "/bin/test", "!", "-e", "/tmp/effect")
		check(t, c.remove(t.Context()))
	}
	eventually(t, "the kills are told", func() error {
		killed := 0
		for _, e := range p.events(t, "exec") {
			if e.Outcome == "killed" {
				killed++
			}
		}
		if killed != 5 {
			return fmt.Errorf("%d are told as killed, want 5", killed)
		}
		return nil
	})
}
