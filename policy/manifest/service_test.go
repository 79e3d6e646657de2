// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"testing"

	"github.com/sluice-io/sluice/policy"
)

func service(rest string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n" + rest
}

func endpointSlice(rest string) string {
	return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-1, namespace: a, labels: {kubernetes.io/service-name: s}}\n" + rest
}

func TestParseService(t *testing.T) {
	for name, tc := range map[string]struct {
		doc  string
		want policy.Service
	}{
		"bare":     {service(""), policy.Service{}},
		"headless": {service("spec: {clusterIP: None, clusterIPs: [None], selector: {}}"), policy.Service{Selector: map[string]string{}}},
		"every address": {service(`
spec:
  type: LoadBalancer
  selector: {app: web}
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  externalIPs: [203.0.113.9, "::ffff:203.0.113.10"]
  loadBalancerIP: 198.51.100.1
  ports: [{name: http, port: 80, targetPort: web, nodePort: 30080}, {protocol: UDP, port: 53}, {protocol: SCTP, port: 65535, nodePort: 1}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.2}, {hostname: lb.example}, {ip: 127.0.0.1}, {ip: 203.0.113.9}]}}
`),
			policy.Service{
				Selector: map[string]string{"app": "web"},
				IPs:      addrs("10.96.0.10", "fd00:96::10", "203.0.113.9", "203.0.113.10", "198.51.100.2"),
				Ports: []policy.ServicePort{
					{Protocol: policy.TCP, Number: 80, NodePort: 30080},
					{Protocol: policy.UDP, Number: 53},
					{Protocol: policy.SCTP, Number: 65535, NodePort: 1},
				},
			}},
		"external name": {service("spec: {type: ExternalName, externalName: a.example, clusterIP: \"\", externalIPs: [203.0.113.9], selector: {app: web}, ports: [{port: 443}]}"),
			policy.Service{Ports: []policy.ServicePort{{Protocol: policy.TCP, Number: 443}}}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.ObjectKey = policy.ObjectKey{Namespace: "default", Name: "s"}
			wantValue(t, tc.doc, tc.want)
		})
	}
}

func TestParseEndpointSlice(t *testing.T) {
	for name, tc := range map[string]struct {
		doc  string
		want policy.EndpointSlice
	}{
		"ready or not": {endpointSlice("addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.0.1, 10.0.0.2], conditions: {ready: false}}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}]"),
			policy.EndpointSlice{Service: "s", IPs: addrs("10.0.0.1", "10.0.0.2", "10.0.0.3")}},
		"IPv6":  {endpointSlice("addressType: IPv6\nendpoints: [{addresses: [fd00::1]}]"), policy.EndpointSlice{Service: "s", IPs: addrs("fd00::1")}},
		"names": {endpointSlice("addressType: FQDN\nendpoints: [{addresses: [a.example]}]"), policy.EndpointSlice{Service: "s"}},
		"of no Service": {"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-1, namespace: a}\naddressType: IPv4",
			policy.EndpointSlice{}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.ObjectKey = policy.ObjectKey{Namespace: "a", Name: "s-1"}
			wantValue(t, tc.doc, tc.want)
		})
	}
}

func TestParseRefusesService(t *testing.T) {
	for name, tc := range map[string]struct {
		doc  string
		want []string
	}{
		"unknown field": {service("spec: {prots: []}"), []string{"spec.prots: unknown field"}},
		"selector":      {service("spec: {selector: {app: \"a b\"}}"), []string{"spec.selector[app]=a b"}},
		"cluster ip":    {service("spec: {clusterIP: none, clusterIPs: [x]}"), []string{"spec.clusterIP=none: write an IPv4", "spec.clusterIPs[0]=x"}},
		"external ip":   {service("spec: {externalIPs: [None]}"), []string{"spec.externalIPs[0]=None"}},
		"balancer":      {service("status: {loadBalancer: {ingress: [{ip: x}]}}"), []string{"status.loadBalancer.ingress[0].ip=x"}},
		"ports": {service("spec: {ports: [{port: 1}, {port: 0, protocol: tcp, nodePort: 70000}]}"),
			[]string{"spec.ports[1].protocol=tcp", "spec.ports[1].port=0", "spec.ports[1].nodePort=70000"}},
		"address":         {endpointSlice("addressType: IPv4\nendpoints: [{}, {addresses: [10.0.0.1, \"127.0.0.1\"]}]"), []string{"endpoints[1].addresses[1]=127.0.0.1"}},
		"no address type": {endpointSlice("endpoints: []"), []string{"addressType: write IPv4, IPv6 or FQDN"}},
		"address type":    {endpointSlice("addressType: IP\nendpoints: []"), []string{"addressType=IP"}},
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, tc.doc, tc.want...) })
	}
}
