// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"testing"

	"github.com/sluice-io/sluice/policy"
)

func ports(list ...policy.Port) policy.Rule { return policy.Rule{Ports: list} }

func TestRanges(t *testing.T) {
	some := network("some", ports(policy.Port{Protocol: policy.TCP, Number: 79, End: 90}))
	every := network("every", ports(policy.Port{Protocol: policy.TCP, Number: 1, End: 65535}))
	sctp := network("sctp", ports(policy.Port{Protocol: policy.SCTP, Number: 80}))
	whole := network("whole", ports(policy.Port{Protocol: policy.ICMP}, policy.Port{Protocol: policy.TCP}))
	peer := in("10.0.0.2")
	table{
		"edges": {cluster(some), []asked{
			{on(peer, policy.TCP, 78), denied}, {on(peer, policy.TCP, 79), allowed(some, 0)},
			{on(peer, policy.TCP, 90), allowed(some, 0)}, {on(peer, policy.TCP, 91), denied}, {on(peer, policy.UDP, 80), denied},
		}},
		"all but 0": {cluster(every), []asked{
			{on(peer, policy.TCP, 1), allowed(every, 0)}, {on(peer, policy.TCP, 65535), allowed(every, 0)}, {on(peer, policy.TCP, 0), denied},
		}},
		"SCTP": {cluster(sctp), []asked{{on(peer, policy.SCTP, 80), allowed(sctp, 0)}, {on(peer, policy.TCP, 80), denied}}},
		"every port of a protocol": {cluster(whole), []asked{
			{on(peer, policy.ICMP, 0), allowed(whole, 0)}, {on(peer, policy.TCP, 0), allowed(whole, 0)}, {on(peer, policy.SCTP, 9), denied},
		}},
	}.run(t)
}

func TestNamedPorts(t *testing.T) {
	http := policy.Port{Protocol: policy.TCP, Name: "http"}
	any := policy.Port{Name: "http"}
	udp := policy.Port{Protocol: policy.UDP, Name: "http"}
	toDB := policy.Rule{Peers: []policy.Peer{{Pods: app("db")}}, Ports: []policy.Port{http}}
	toBlock := policy.Rule{Peers: []policy.Peer{block("10.0.0.0/16")}, Ports: []policy.Port{http}}
	toService := policy.Rule{Peers: []policy.Peer{{Service: &policy.ObjectKey{Namespace: "shop", Name: "db"}}}, Ports: []policy.Port{http}}
	inHTTP, inAny, inUDP := network("in", ports(http)), network("any", ports(any)), network("udp", ports(udp))
	out, outAny := outbound("out", toDB), outbound("any", ports(any))
	outBlock, outService := outbound("block", toBlock), workload("service", toService)

	// late shares scan's address, with another number.
	sharing := shared(outbound("shared", policy.Rule{Peers: []policy.Peer{{Pods: app("web")}}, Ports: []policy.Port{any}}))
	late := sharing.Pods[policy.PodKey{Namespace: "shop", Name: "late"}]
	late.Ports = []policy.ContainerPort{{Name: "http", Protocol: policy.TCP, Number: 8081}}
	sharing.Pods[late.PodKey] = late

	table{
		"ingress is the judged pod's": {cluster(inHTTP), []asked{
			{in("10.0.0.2"), allowed(inHTTP, 0)}, {on(in("10.0.0.2"), policy.TCP, 8080), denied}, {on(in("10.0.0.2"), policy.UDP, 80), denied},
		}},
		"any protocol":   {cluster(inAny), []asked{{in("192.0.2.1"), allowed(inAny, 0)}, {on(in("192.0.2.1"), policy.UDP, 80), denied}}},
		"other protocol": {cluster(inUDP), []asked{{in("10.0.0.2"), denied}, {on(in("10.0.0.2"), policy.UDP, 80), denied}}},
		"egress is the destination's": {cluster(out), []asked{
			{on(to("10.0.0.2"), policy.TCP, 8080), allowed(out, 0)}, {to("10.0.0.2"), denied}, {to("10.0.1.1"), denied},
		}},
		"egress to any peer": {cluster(outAny), []asked{
			{on(to("10.0.0.2"), policy.TCP, 8080), allowed(outAny, 0)}, {on(to("10.0.1.1"), policy.UDP, 80), allowed(outAny, 0)},
			{to("10.0.1.1"), denied}, {to("10.0.9.1"), denied}, {to("192.0.2.1"), denied},
		}},
		"egress to a block":   {cluster(outBlock), []asked{{on(to("10.0.0.2"), policy.TCP, 8080), allowed(outBlock, 0)}, {to("10.0.9.1"), denied}}},
		"egress to a Service": {cluster(outService), []asked{{on(to("10.0.0.2"), policy.TCP, 8080), allowed(outService, 0)}, {to("10.0.0.2"), eperm}}},
		"only of the pod selected": {sharing, []asked{
			{on(to("10.0.1.1"), policy.TCP, 8081), allowed(sharing.NetworkPolicies[0], 0)}, {on(to("10.0.1.1"), policy.UDP, 80), denied},
		}},
	}.run(t)
}
