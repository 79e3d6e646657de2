// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

// shop has web, which may send only to db, and db, which api and IPv4 may reach.
const shop = `
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: c, ports: [{name: sql, containerPort: 5432}, {name: dns, containerPort: 53}, {name: dns, containerPort: 53, protocol: UDP}]}]}
status: {podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: new, namespace: shop, labels: {app: new}}
---
apiVersion: v1
kind: Pod
metadata: {name: proxy, namespace: shop}
spec: {nodeName: n1, hostNetwork: true}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: db}, ports: [{name: sql, port: 5000, targetPort: sql}, {name: dns, port: 53}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.2, clusterIPs: [10.96.0.2, "fd96::2"], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: sliced, namespace: shop}
spec: {clusterIP: 10.96.0.3, ports: [{name: sql, port: 5000, targetPort: 1}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sliced-1, namespace: shop, labels: {kubernetes.io/service-name: sliced}}
addressType: IPv4
ports: [{name: sql, port: 5432}, {name: other, port: 9}]
endpoints: [{addresses: [10.0.0.2]}, {addresses: [192.0.2.9]}]
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec: {clusterIP: 10.96.0.4, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: api}}}]
  - from: [{ipBlock: {cidr: 10.0.0.0/24}}]
    ports: [{port: sql}]
  - from: [{ipBlock: {cidr: "fd00::/64"}}]
---
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  egress: {allow: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}
---
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: audit, namespace: shop}
spec:
  podSelector: {matchLabels: {app: new}}
  mode: Audit
  egress: {}
  ingress: {allow: [{processes: [{path: /bin/new}]}]}
`

func mustParse(t *testing.T, text string) *Snapshot {
	t.Helper()
	docs, err := manifest.Split([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var objects []*manifest.Object
	for _, doc := range docs {
		o, err := manifest.Parse(doc.Data)
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		objects = append(objects, o)
	}
	return New(objects)
}

// mustQuery reads "FROM TO PORT [PROCESS [LISTENER]]".
func mustQuery(t *testing.T, text string) Query {
	t.Helper()
	words := append(strings.Fields(text), "", "")
	from, err := ParseEnd(words[0])
	if err != nil {
		t.Fatal(err)
	}
	to, err := ParseEnd(words[1])
	if err != nil {
		t.Fatal(err)
	}
	port, err := ParsePort(words[2])
	if err != nil {
		t.Fatal(err)
	}
	return Query{from, to, port, words[3], words[4]}
}

// lines are a Trace's paths and sides, one each.
func (t *Trace) lines() []string {
	out := []string{t.Verdict}
	for _, p := range t.Paths {
		out = append(out, fmt.Sprintf("%s %d/%s %s", p.Destination.IP, p.Destination.Port, p.Protocol, p.Verdict))
		for _, s := range p.Sides {
			out = append(out, fmt.Sprintf("%s %s %s", s.Direction, s.Pod.Name, s.Why))
		}
	}
	return append(out, t.Notes...)
}

func TestTrace(t *testing.T) {
	const (
		mayWeb  = "egress web allowed by WorkloadPolicy/shop/web[0]"
		notWeb  = "egress web denied: isolated on egress, and no WorkloadPolicy allows it"
		mayDB   = "ingress db allowed by NetworkPolicy/shop/db[1]"
		mayDB6  = "ingress db allowed by NetworkPolicy/shop/db[2]"
		notDB   = "ingress db denied: isolated on ingress, and no NetworkPolicy allows it"
		openWeb = "ingress web allowed: no policy isolates the pod on ingress or denies it"
		differ  = "the verdicts differ by backend or address family: together they count as denied"
		ofNode  = "ingress db allowed: what the pod's own node makes is not judged (what it forwards is, by its source)"
	)
	s := mustParse(t, shop)
	for query, want := range map[string][]string{
		"shop/web shop/db sql":          {"allowed", "10.0.0.2 5432/TCP allowed", mayWeb, mayDB, "fd00::2 5432/TCP allowed", mayWeb, mayDB6},
		"shop/web shop/db 80":           {"denied", "10.0.0.2 80/TCP denied", mayWeb, notDB, "fd00::2 80/TCP allowed", mayWeb, mayDB6, differ},
		"shop/web 10.0.0.2 icmp":        {"denied", "10.0.0.2 0/ICMP denied", mayWeb, notDB},
		"fd00::1 shop/db icmp":          {"allowed", "fd00::2 0/ICMPv6 allowed", mayWeb, mayDB6},
		"shop/web 192.0.2.1 443":        {"denied", "192.0.2.1 443/TCP denied", notWeb},
		"192.0.2.1 shop/web http":       {"allowed", "10.0.0.1 8080/TCP allowed", openWeb},
		"shop/web shop/web 80":          {"allowed", "10.0.0.1 80/TCP allowed", "egress web allowed: loopback and a pod's own address are never judged", "ingress web allowed: loopback and a pod's own address are never judged", "fd00::1 80/TCP allowed", "egress web allowed: loopback and a pod's own address are never judged", "ingress web allowed: loopback and a pod's own address are never judged"},
		"192.168.0.1 shop/db 80":        {"allowed", "10.0.0.2 80/TCP allowed", ofNode},
		"192.168.0.2 shop/db 80":        {"denied", "10.0.0.2 80/TCP denied", notDB},
		"shop/proxy shop/db 80":         {"allowed", "10.0.0.2 80/TCP allowed", ofNode, "pod shop/proxy is of the host's network: it is judged as its node, and no policy selects it"},
		"shop/new 192.0.2.1 53/UDP":     {"audit-denied", "192.0.2.1 53/UDP audit-denied", "egress new allowed: no policy isolates the pod on egress or denies it; would be denied if the Audit policies were enforced"},
		"shop/web service/shop/db sql":  {"allowed", "10.0.0.2 5432/TCP allowed", mayWeb, mayDB, "service shop/db is judged by the backend that is chosen, at its port"},
		"shop/web 10.96.0.1 53":         {"denied", "10.0.0.2 53/TCP denied", mayWeb, notDB, "service shop/db is judged by the backend that is chosen, at its port"},
		"192.0.2.1 service/shop/web 80": {"allowed", "10.0.0.1 8080/TCP allowed", openWeb, "service shop/web is judged by the backend that is chosen, at its port"},
		"shop/web fd96::2 80":           {"denied", "fd00::1 8080/TCP denied", notWeb, openWeb, "service shop/web is judged by the backend that is chosen, at its port"},
		"shop/web service/shop/sliced 5000": {"denied", "10.0.0.2 5432/TCP allowed", mayWeb, mayDB, "192.0.2.9 5432/TCP denied", notWeb,
			"service shop/sliced is judged by the backend that is chosen, at its port", differ},
		"192.0.2.1 service/shop/headless 99": {"allowed", "10.0.0.1 99/TCP allowed", openWeb, "service shop/headless is judged by the backend that is chosen, at its port"},
	} {
		trace, err := s.Trace(mustQuery(t, query))
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if diff := cmp.Diff(want, trace.lines()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

// TestProcesses: the program that connects is asked on egress, the one that listens
// on ingress.
func TestProcesses(t *testing.T) {
	s := mustParse(t, strings.Replace(shop, "mode: Audit", "mode: Enforce", 1))
	s.attach([]rpc.Pod{{Namespace: "shop", Name: "new", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.3")}}}, "n1")
	for query, want := range map[string]string{
		"192.0.2.1 shop/new 80 /bin/new":        "denied",
		"192.0.2.1 shop/new 80 /bin/x /bin/new": "allowed",
	} {
		if trace, err := s.Trace(mustQuery(t, query)); err != nil || trace.Verdict != want {
			t.Errorf("%s is %+v, %v; want %s", query, trace, err, want)
		}
	}
}

func TestNotTraced(t *testing.T) {
	s := mustParse(t, shop)
	for query, want := range map[string]string{
		"shop/none shop/db 80":                "pod shop/none is not known",
		"192.0.2.1 shop/none 80":              "pod shop/none is not known",
		"192.0.2.1 192.0.2.2 80":              "nothing is judged",
		"shop/proxy 192.0.2.2 80":             "nothing is judged",
		"shop/new shop/db 80":                 "pod shop/new has no address: write status.podIPs",
		"shop/web shop/new 80":                "pod shop/new has no address",
		"192.0.2.1 fd00::1 80":                "no address family in common",
		"shop/web shop/db http":               "no port named http: write a number, as in 80/TCP; it has sql = 5432/TCP",
		"shop/web shop/db dns":                "several ports named dns",
		"shop/web 192.0.2.1 http":             "192.0.2.1 has no port named http",
		"shop/web service/shop/none 80":       "service shop/none is not known",
		"shop/web service/shop/db 80":         "does not forward 80/TCP: it has 5000/TCP, 53/TCP",
		"shop/web service/shop/db icmp":       "does not forward ICMP",
		"shop/web service/shop/empty 80":      "has no backend",
		"shop/web service/shop/headless http": "no ports of its own",
	} {
		if trace, err := s.Trace(mustQuery(t, query)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is %+v, %v; want %s", query, trace, err, want)
		}
	}
}

// TestAttached: what an agent says of its node's pods is put over the objects.
func TestAttached(t *testing.T) {
	s := mustParse(t, shop)
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	s.attach([]rpc.Pod{
		{Namespace: "shop", Name: "web", IPs: addrs("10.0.0.7"), State: "enforced"},
		{Namespace: "shop", Name: "web", IPs: addrs("fd00::7"), State: "closed"},
		{Namespace: "shop", Name: "late", IPs: addrs("10.0.0.8"), State: "enforced"},
	}, "n1")
	s.heed(&rpc.Status{Enforcement: "off for 5m", Policies: []rpc.PolicyStatus{
		{Kind: "WorkloadPolicy", Namespace: "shop", Name: "web", State: "degraded", Reason: "map full"},
		{Kind: "NetworkPolicy", Namespace: "shop", Name: "db", State: "degraded", Reason: "not asked here"},
	}})
	if got, want := s.cluster.Pods[policy.PodKey{Namespace: "shop", Name: "web"}].IPs, addrs("10.0.0.7", "fd00::7"); !cmp.Equal(got, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Errorf("addresses %v, want %v", got, want)
	}
	trace, err := s.Trace(mustQuery(t, "shop/web shop/late 80"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"enforcement on this node is off for 5m: nothing is denied meanwhile",
		`pod shop/web is closed on this node, whatever its policies say: see "sluice status"`,
		"no object describes pod shop/late: it has no labels",
		"WorkloadPolicy/shop/web is not in force as written: map full",
	}
	if diff := cmp.Diff(want, trace.Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	p, err := s.Explain(policy.PodKey{Namespace: "shop", Name: "late"})
	if err != nil || !strings.Contains(p.Note, "no object describes pod shop/late") {
		t.Errorf("profile %+v, %v", p, err)
	}
	if _, err := s.Explain(policy.PodKey{Namespace: "shop", Name: "none"}); err == nil {
		t.Error("an unknown pod is explained")
	}
}
