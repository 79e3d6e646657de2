// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"

	"github.com/sluice-io/sluice/test/harness"
)

// The large load: 1,000 workloads of ten pods elsewhere, in 50 namespaces, each
// with a policy of its own. The first 50 have five more pods each on this node,
// which so has 50 distinct rule sets.
const (
	workloads  = 1000
	replicas   = 10
	namespaces = 50
	localApps  = 50
	localPods  = 250
	applied    = 10 // policies that come by the API, and are changed there
)

func namespaceOf(app int) string { return fmt.Sprintf("ns%d", app%namespaces) }

// localPod says what the i-th pod of this node is called; its labels stand in the
// manifest.
func localPod(i int) harness.PodSpec {
	return harness.PodSpec{Namespace: namespaceOf(i % localApps), Name: fmt.Sprintf("local%d", i)}
}

// writeLoad writes the manifests of the large load.
func writeLoad(n *harness.Node) error {
	var b bytes.Buffer
	for i := range namespaces {
		fmt.Fprintf(&b, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns%d"}}`+"\n", i)
	}
	for i := range localPods {
		spec := localPod(i)
		fmt.Fprintf(&b, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": %q, "name": %q, "labels": {"app": "app%d"}}}`+"\n",
			spec.Namespace, spec.Name, i%localApps)
	}
	for i := range workloads * replicas {
		app := i / replicas
		fmt.Fprintf(&b, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": %q, "name": "pod%d", "labels": {"app": "app%d"}},
"status": {"podIPs": [{"ip": %q}, {"ip": "fd00:64::%x"}]}}`+"\n", namespaceOf(app), i, app, peer(i), i)
	}
	if err := n.WriteManifest("cluster.json", b.Bytes()); err != nil {
		return err
	}
	b.Reset()
	for i := applied; i < workloads; i++ {
		b.Write(loadPolicy(i, 8080))
	}
	return n.WriteManifest("policies.json", b.Bytes())
}

// loadPolicy opens a workload to another of its namespace and to one of another,
// and lets it reach DNS and a block.
func loadPolicy(app, port int) []byte {
	return fmt.Appendf(nil, `{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": %q, "name": "np%d"},
"spec": {"podSelector": {"matchLabels": {"app": "app%d"}}, "policyTypes": ["Ingress", "Egress"],
"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "app%d"}}},
	{"podSelector": {"matchLabels": {"app": "app%d"}}, "namespaceSelector": {}}], "ports": [{"port": %d}]}],
"egress": [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ns0"}}, "podSelector": {"matchLabels": {"app": "app0"}}}],
	"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]},
	{"to": [{"ipBlock": {"cidr": "172.16.%d.0/24"}}], "ports": [{"port": 443}]}]}}
`, namespaceOf(app), app, app, app+namespaces, app+1, port, app%256)
}
