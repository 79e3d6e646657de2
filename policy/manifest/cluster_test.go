// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"testing"

	"github.com/sluice-io/sluice/policy"
)

func pod(rest string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\n" + rest
}

func node(rest string) string {
	return "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {zone: x}}\n" + rest
}

func TestParsePod(t *testing.T) {
	for name, tc := range map[string]struct {
		doc  string
		want policy.Pod
	}{
		"from a cluster": {
			`
apiVersion: v1
kind: Pod
metadata:
  name: a
  namespace: b
  uid: u-1
  resourceVersion: "9223372036854775807"
  creationTimestamp: "2026-01-02T03:04:05Z"
  managedFields: [{manager: kubelet, operation: Update, fieldsV1: {"f:status": {}}}]
  labels: {app: web}
spec:
  nodeName: n1
  serviceAccountName: shop.web
  containers: [{name: web, image: web:1, resources: {limits: {memory: 64Mi}}, ports: [{containerPort: 80}]}]
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "::ffff:10.0.0.2"}, {ip: fd00::1}]
`,
			policy.Pod{UID: "u-1", Labels: map[string]string{"app": "web"}, IPs: addrs("10.0.0.1", "10.0.0.2", "fd00::1"), Node: "n1", ServiceAccount: "shop.web"},
		},
		"ended":       {pod("spec: {hostNetwork: true}\nstatus: {phase: Succeeded, podIP: 10.0.0.1}"), policy.Pod{HostNetwork: true}},
		"old account": {pod("spec: {serviceAccount: web}"), policy.Pod{ServiceAccount: "web"}},
		"two names of the account": {pod("spec: {serviceAccount: old, serviceAccountName: web}"),
			policy.Pod{ServiceAccount: "web"}},
		"named ports": {
			pod(`
spec:
  initContainers:
  - {name: setup, ports: [{name: setup, containerPort: 1}]}
  - {name: proxy, restartPolicy: Always, ports: [{name: proxy, containerPort: 15001}]}
  containers:
  - {name: web, ports: [{name: http, containerPort: 8080}, {containerPort: 0, protocol: none}, {name: dns, protocol: UDP, containerPort: 53}]}
  - {name: sig, ports: [{name: sig, protocol: SCTP, containerPort: 65535}]}
`),
			policy.Pod{Ports: []policy.ContainerPort{
				{Name: "http", Protocol: policy.TCP, Number: 8080},
				{Name: "dns", Protocol: policy.UDP, Number: 53},
				{Name: "sig", Protocol: policy.SCTP, Number: 65535},
				{Name: "proxy", Protocol: policy.TCP, Number: 15001},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.PodKey = policy.PodKey{Namespace: "b", Name: "a"}
			if tc.want.ServiceAccount == "" {
				tc.want.ServiceAccount = "default"
			}
			wantValue(t, tc.doc, tc.want)
		})
	}
}

func TestParseNode(t *testing.T) {
	labels := map[string]string{"zone": "x"}
	for name, tc := range map[string]struct {
		doc  string
		want policy.Node
	}{
		"bare": {node(""), policy.Node{}},
		"addresses": {node(`status: {addresses: [{type: Hostname, address: n1}, {type: InternalIP, address: 192.168.0.1}, {type: InternalIP, address: "fd00::1"}, {type: ExternalIP, address: "::ffff:203.0.113.1"}, {type: ExternalDNS, address: n1.example}, {type: ExternalIP, address: 192.168.0.1}]}`),
			policy.Node{IPs: addrs("192.168.0.1", "fd00::1", "203.0.113.1")}},
		"pod CIDRs": {node(`spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.9/24, "fd00:1::/64"]}`),
			policy.Node{PodCIDRs: prefixes("10.244.1.0/24", "fd00:1::/64")}},
		"pod CIDR": {node("spec: {podCIDR: 10.244.1.0/24, taints: [{key: a, effect: NoSchedule}]}"),
			policy.Node{PodCIDRs: prefixes("10.244.1.0/24")}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Name, tc.want.Labels = "n1", labels
			wantValue(t, tc.doc, tc.want)
		})
	}
}

func TestParseRefusesPodAndNode(t *testing.T) {
	for name, tc := range map[string]struct {
		doc  string
		want []string
	}{
		"pod ip":          {pod("status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.256}]}"), []string{"status.podIPs[1].ip=10.0.0.256: write an IPv4 or IPv6 address"}},
		"pod ip zone":     {pod(`status: {podIP: "fe80::1%eth0"}`), []string{"status.podIP"}},
		"pod ip loopback": {pod("status: {podIP: 127.0.0.1}"), []string{"status.podIP=127.0.0.1"}},
		"pod ip group":    {pod("status: {podIP: 224.0.0.1}"), []string{"status.podIP"}},
		"pod ip none":     {pod(`status: {podIP: "::"}`), []string{"status.podIP"}},
		"account":         {pod("spec: {serviceAccountName: A}"), []string{"spec.serviceAccountName=A"}},
		"old account":     {pod("spec: {serviceAccount: A}"), []string{"spec.serviceAccount=A"}},
		"port": {pod("spec: {containers: [{}, {ports: [{name: HTTP, containerPort: 0, protocol: ICMP}]}]}"),
			[]string{"spec.containers[1].ports[0].name=HTTP", "spec.containers[1].ports[0].protocol=ICMP: write TCP, UDP or SCTP", "spec.containers[1].ports[0].containerPort=0: from 1 to 65535"}},
		"sidecar's port":   {pod("spec: {initContainers: [{restartPolicy: Always, ports: [{name: a, containerPort: 65536}]}]}"), []string{"spec.initContainers[0].ports[0].containerPort=65536"}},
		"node address":     {node("status: {addresses: [{type: Hostname, address: x}, {type: InternalIP, address: x}]}"), []string{"status.addresses[1].address=x"}},
		"no node address":  {node("status: {addresses: [{type: ExternalIP}]}"), []string{"status.addresses[0].address"}},
		"pod CIDR":         {node("spec: {podCIDR: 10.0.0.0}"), []string{"spec.podCIDR=10.0.0.0: not a CIDR"}},
		"pod CIDRs":        {node(`spec: {podCIDRs: [10.0.0.0/24, "::ffff:10.0.0.0/120"]}`), []string{"spec.podCIDRs[1]=::ffff:10.0.0.0/120: write the IPv4 CIDR"}},
		"node's own field": {node("spec: {podCidr: 10.0.0.0/24}"), []string{"spec.podCidr: unknown field"}},
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, tc.doc, tc.want...) })
	}
}
