// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"fmt"
	"math/rand/v2"

	"github.com/sluice-io/sluice/policy"
)

// The stocks that clusters and flows draw from.
var (
	podLabels       = []string{"app", "tier", "env"}
	namespaceLabels = []string{"team", "env", "kubernetes.io/metadata.name"}
	nodeLabels      = []string{"zone", "role"}
	labelValues     = []string{"a", "b", "c"}
	accounts        = []string{"default", "builder", "deployer"}
	portNames       = []string{"http", "dns", "metrics"}
	ports           = []uint16{53, 80, 443, 8080}
	ranges          = [][2]uint16{{1, 65535}, {1, 1023}, {1024, 65535}, {80, 81}, {79, 90}, {443, 8080}, {8000, 8191}, {30000, 32767}}
	paths           = []string{"/bin/busybox", "/bin/nc", "/bin/wget", "/usr/bin/curl", "/usr/bin/payments"}
)

func namespaceName(i int) string { return fmt.Sprintf("ns%d", i) }
func podName(i int) string       { return fmt.Sprintf("pod%d", i) }
func nodeName(i int) string      { return fmt.Sprintf("node%d", i) }

// namespaces are the names that the cluster's pods and policies use.
func (c *Case) namespaces() []string {
	var out []string
	for i := range c.size.Namespaces {
		out = append(out, namespaceName(i))
	}
	return out
}

// services are the keys of the Services that the cluster may have: each in a
// namespace of its own choice, and that of the API servers.
func (c *Case) services() []policy.ObjectKey {
	out := []policy.ObjectKey{{Namespace: "default", Name: "kubernetes"}}
	for i := range c.size.Services {
		out = append(out, policy.ObjectKey{Namespace: namespaceName(i % c.size.Namespaces), Name: fmt.Sprintf("svc%d", i)})
	}
	return out
}

// maxSlices is how many EndpointSlices a Service has at most.
const maxSlices = 2

func sliceKey(service policy.ObjectKey, i int) policy.ObjectKey {
	return policy.ObjectKey{Namespace: service.Namespace, Name: fmt.Sprintf("%s-%d", service.Name, i)}
}

func (c *Case) randomNamespaceName(r *rand.Rand) string {
	return namespaceName(r.IntN(c.size.Namespaces))
}

func randomLabels(r *rand.Rand, keys []string) map[string]string {
	labels := map[string]string{}
	for _, k := range keys {
		if r.IntN(3) > 0 {
			labels[k] = pick(r, labelValues...)
		}
	}
	return labels
}
