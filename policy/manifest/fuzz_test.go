// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var seeds = []string{
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}",
	"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {b: c}}\nstatus: {podIP: 10.0.0.1, podIPs: [{ip: fd00::1}]}",
	`{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80,"targetPort":"http"}]}}`,
	networkPolicy("{podSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}, {namespaceSelector: {}}], ports: [{port: 80}]}], egress: [{}]}"),
	workloadPolicy("{mode: Audit, egress: {allow: [{to: [{podSelector: {}}], ports: [{protocol: UDP, port: 53}], processes: [{path: /bin/a}]}]}, escalation: {rules: [{classes: [Privileges], action: Kill}]}}"),
	workloadPolicy("{mode: Audit, egress: {allow: [{to: [{domainNames: [a.b]}, {service: {name: s}}]}]}, ingress: {allow: [{from: [{serviceAccount: {names: [c]}}, {entity: World}]}]}}"),
	workloadPolicy("{fallback: Close, exec: {allow: [{path: /bin/sh, sha256: " + strings.Repeat("0a", 32) + ", parents: [{path: /usr/**}]}], action: Kill}, capabilities: {allow: [{names: [NET_RAW, BPF], processes: [{path: /bin/*}]}]}}"),
	workloadPolicy("{files: {rules: [{paths: [/etc/shadow, /run/**], operations: [Read, MmapExec], allow: [{path: /a}]}, {paths: [/run/**], operations: [Write], action: Audit}]}}"),
	clusterWorkloadPolicy("{namespaceSelector: {}, allowedSources: [10.0.0.1/8]}"),
	clusterNetworkRules("Baseline", "ingress: [{action: Pass, from: [{}, {namespaces: {}}]}], egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}, {nodes: {}}, {pods: {podSelector: {}}}, {later: 1}], protocols: [{tcp: {destinationPort: {range: {start: 1, end: 9}}}}]}]"),
	"apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDRs: [10.0.0.0/24]}\nstatus: {addresses: [{type: InternalIP, address: 10.0.0.1}]}",
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv6\nendpoints: [{addresses: [fd00::1]}]",
	"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: n}}\n",
	"a: &a [x]\nb: *a\n---\n<<: {a: 1}\n...\n%YAML 1.1\n--- |\n text\n",
	`{"a":1}{"b":2}`,
}

// What parses is read back from its JSON as the same object.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse(o.JSON)
		if err != nil {
			t.Fatalf("Parse its own JSON: %v\n%s", err, o.JSON)
		}
		if diff := cmp.Diff(o, again, equateAddrs); diff != "" {
			t.Fatalf("another object (-first +second):\n%s", diff)
		}
	})
}

// Splitting loses no object: what parses as one comes out as one.
func FuzzSplit(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Split(data)
		if err != nil {
			return
		}
		for _, d := range docs {
			_, _ = Parse(d.Data)
		}
		whole, err := Parse(data)
		if err != nil {
			return
		}
		if len(docs) != 1 {
			t.Fatalf("%d documents of one object", len(docs))
		}
		part, err := Parse(docs[0].Data)
		if err != nil {
			t.Fatalf("Parse of the split object: %v", err)
		}
		if diff := cmp.Diff(whole, part, equateAddrs); diff != "" {
			t.Fatalf("another object (-whole +split):\n%s", diff)
		}
	})
}
