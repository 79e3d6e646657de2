// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// TestPolicyDoesNotFit: a policy for which the kernel's maps have no room closes the
// pods that it selects in the directions that it is about, and in no other.
func TestPolicyDoesNotFit(t *testing.T) {
	var scattered []int // each with the next 30 costs some entries
	for port := 1001; port < 10000; port += 40 {
		scattered = append(scattered, port)
	}
	for name, c := range map[string]struct{ kind, scope, spec, rule, port string }{
		"NetworkPolicy": {"NetworkPolicy", "namespace: shop", `podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]`,
			`{ports: [%s]}`, `{port: %d, endPort: %d}`},
		"WorkloadPolicy": {"WorkloadPolicy", "namespace: shop", `podSelector: {matchLabels: {app: client}}`, `{ports: [%s]}`,
			`{port: %d, endPort: %d}`},
		"ClusterNetworkPolicy": {"ClusterNetworkPolicy", "", `tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}}`,
			`{action: Accept, to: [{networks: [0.0.0.0/0]}], protocols: [%s]}`,
			`{tcp: {destinationPort: {range: {start: %d, end: %d}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Config{})
			client, server := w.pod("client"), w.pod("server")
			w.serve(client, "tcp", 80)
			w.serve(server, "tcp", 1001)
			denied := silence
			if c.kind == "WorkloadPolicy" {
				denied = eperm
			}
			egress := func(ports int) {
				t.Helper()
				var rules []string
				for list := range slices.Chunk(scattered[:ports], 25) { // as many as one may have
					var each []string
					for _, port := range list {
						each = append(each, fmt.Sprintf(c.port, port, port+30))
					}
					rules = append(rules, fmt.Sprintf(c.rule, strings.Join(each, ", ")))
				}
				all := "[" + strings.Join(rules, ", ") + "]"
				if c.kind == "WorkloadPolicy" {
					all = fmt.Sprintf("{allow: %s}", all)
				}
				body := fmt.Appendf(nil, "{apiVersion: %s, kind: %s, metadata: {name: large, %s}, spec: {%s, egress: %s}}",
					apiVersions[c.kind], c.kind, c.scope, c.spec, all)
				if err := w.node.WriteManifest("large.yaml", body); err != nil {
					t.Fatal(err)
				}
			}
			state := func(want, reason string) func() bool {
				return func() bool {
					s, err := w.node.Client().Status(t.Context())
					if err != nil || len(s.Policies) != 1 {
						return false
					}
					return s.Policies[0].State == want && strings.HasSuffix(s.Policies[0].Reason, reason)
				}
			}
			egress(2)
			w.until("the policy is in force", state("enforced", ""))
			w.expect(ok, client, "dial", "tcp", at(server.IPv4(), 1001))
			stream := w.stream(server, built.probe, "tcp", at(client.IPv4(), 80))
			for range 2 { // also if another agent finds it
				egress(len(scattered))
				w.until("the policy is degraded", state("degraded", "all egress of the pods it selects is denied"))
				w.expect(denied, client, "dial", "tcp", at(server.IPv4(), 1001))
				w.expect(ok, server, "dial", "tcp", at(client.IPv4(), 80))
				w.kill9()
				w.start()
			}
			stream.lossless()
			egress(2)
			w.until("the policy is in force", state("enforced", ""))
			w.expect(ok, client, "dial", "tcp", at(server.IPv4(), 1001))
		})
	}
}
