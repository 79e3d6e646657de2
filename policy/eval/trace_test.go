// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

// TestWords: why a rule does not match, for each of its parts and kinds of peers.
func TestWords(t *testing.T) {
	tcp := policy.Port{Protocol: policy.TCP, Number: 80}
	dbHTTP := policy.Port{Protocol: policy.TCP, Name: "http"}
	service := policy.Peer{Service: &policy.ObjectKey{Namespace: "shop", Name: "legacy"}}
	for name, tt := range map[string]struct {
		rule policy.Rule
		flow policy.Flow
		want string
	}{
		"pod":            {from(policy.Peer{Pods: app("web")}), to("10.0.0.2"), "peer 10.0.0.2 is pod shop/db, not selected by podSelector app=web in namespace shop"},
		"namespaces":     {from(policy.Peer{Namespaces: labelled("team", policy.DoesNotExist), Pods: all}), to("10.0.0.2"), "peer 10.0.0.2 is pod shop/db, not selected by namespaceSelector !team and podSelector {}"},
		"block":          {from(block("10.0.0.0/16", "10.0.1.0/24")), to("10.0.1.1"), "peer 10.0.1.1 is pod ops/scan, not in ipBlock 10.0.0.0/16 except 10.0.1.0/24"},
		"service itself": {from(service), to("10.96.0.2"), "peer 10.96.0.2 is service shop/legacy itself (judged by the backend chosen), not behind service shop/legacy"},
		"node":           {from(policy.Peer{Entity: policy.World}), to("10.0.9.1"), "peer 10.0.9.1 is host-network pod ops/node and node n1, not of entity World"},
		"several":        {from(policy.Peer{Nodes: all}, policy.Peer{ServiceAccounts: &policy.ServiceAccounts{Names: []string{"db"}}}), to("192.0.2.1"), "peer 192.0.2.1 is no pod, node or service known here, not selected by nodes {}, not under serviceAccount db in namespace shop"},
		"domain names":   {from(policy.Peer{DomainNames: []string{"example.com"}}), to("192.0.2.1"), "peer 192.0.2.1 is no pod, node or service known here, and domainNames example.com match nothing in this version"},
		"peer first":     {policy.Rule{Peers: []policy.Peer{service}, Ports: []policy.Port{dbHTTP}}, to("192.0.2.1"), "peer 192.0.2.1 is no pod, node or service known here, not behind service shop/legacy"},
		"port":           {ports(tcp, policy.Port{Protocol: policy.UDP}, policy.Port{Protocol: policy.SCTP, Number: 1, End: 9}), on(to("10.0.0.2"), policy.TCP, 443), "port 443/TCP, not 80/TCP or UDP or 1-9/SCTP"},
		"no port":        {ports(tcp), on(to("10.0.0.2"), policy.ICMP, 0), "protocol ICMP without a port, not 80/TCP"},
		"named port":     {ports(dbHTTP), to("10.0.0.2"), "port 80/TCP, not port named http/TCP (8080/TCP on pod shop/db)"},
		"not named":      {ports(policy.Port{Name: "sql"}), to("10.0.1.1"), "port 80/TCP, not port named sql (not there on pod ops/scan)"},
		"no pod":         {ports(dbHTTP), to("192.0.2.1"), "port 80/TCP, not port named http/TCP (no pod there)"},
		"process":        {policy.Rule{Processes: processes("/bin/pay", "/bin/ship")}, by(to("10.0.0.2"), "/bin/sh"), "process /bin/sh, not /bin/pay or /bin/ship"},
		"no process":     {policy.Rule{Processes: processes("/bin/pay")}, to("10.0.0.2"), "process not known, not /bin/pay"},
		"matches":        {policy.Rule{}, to("10.0.0.2"), ""},
	} {
		e := Trace(cluster(workload("wp", tt.rule)), tt.flow)
		if got := e.Layers[2].Policies[0].Rules[0].Why; got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
}

// TestLayers: which layers were asked, what came of it, and what decided.
func TestLayers(t *testing.T) {
	accept := admin("accept", 0, does(policy.Accept, "db"))
	type outcomes [4]Outcome
	audit := audited(workload("audit"))
	audit.Isolates = [2]bool{policy.Ingress: true}
	for name, tt := range map[string]struct {
		c    *policy.Cluster
		flow policy.Flow
		want outcomes
		why  string
	}{
		"admin":        {cluster(accept, network("np")), in("10.0.0.2"), outcomes{Accepted, NotAsked, NotAsked, NotAsked}, "allowed by ClusterNetworkPolicy/-/accept[0]"},
		"isolated":     {cluster(accept, network("np")), in("10.0.1.1"), outcomes{NoMatch, DefaultDeny, NotIsolated, NotAsked}, "denied: isolated on ingress, and no NetworkPolicy allows it"},
		"pass, base":   {cluster(admin("p", 0, does(policy.Pass)), baseline("b", 0, does(policy.Deny))), in("10.0.1.1"), outcomes{Passed, NotIsolated, NotIsolated, Denied}, "denied by ClusterNetworkPolicy/-/b[0]"},
		"each":         {cluster(outbound("np", policy.Rule{}), workload("wp")), to("10.0.1.1"), outcomes{NoMatch, Allowed, DefaultDeny, NotAsked}, "denied: isolated on egress, and no WorkloadPolicy allows it"},
		"audit":        {cluster(audit), in("10.0.1.1"), outcomes{NoMatch, NotIsolated, NotIsolated, NoMatch}, "allowed: no policy isolates the pod on ingress or denies it; would be denied if the Audit policies were enforced"},
		"never judged": {cluster(accept), in("10.0.0.1"), outcomes{NotAsked, NotAsked, NotAsked, NotAsked}, "allowed: loopback and a pod's own address are never judged"},
		"host network": {cluster(), policy.Flow{Pod: node, Peer: addrs("10.0.0.1")[0]}, outcomes{NoMatch, NotIsolated, NotIsolated, NoMatch}, "allowed: no policy selects a pod of the host's network"},
	} {
		e := Trace(tt.c, tt.flow)
		var got outcomes
		for i, l := range e.Layers {
			got[i] = l.Outcome
			if (l.Outcome == NotAsked) != (l.Why != "") {
				t.Errorf("%s: layer %s: %q", name, l.Name, l.Why)
			}
		}
		if got != tt.want || e.Why != tt.why {
			t.Errorf("%s:\n got %v %s\nwant %v %s", name, got, e.Why, tt.want, tt.why)
		}
	}
}

func TestExplanationJSON(t *testing.T) {
	e := Trace(cluster(admin("cnp", 7, does(policy.Accept, "db"), does(policy.Deny, "web")), network("np")), in("10.0.0.2"))
	got, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "verdict": "allowed",
 "reason": "policy",
 "rule": {
  "kind": "ClusterNetworkPolicy",
  "name": "cnp",
  "index": 0
 },
 "why": "allowed by ClusterNetworkPolicy/-/cnp[0]",
 "layers": [
  {
   "name": "Admin",
   "outcome": "accept",
   "policies": [
    {
     "kind": "ClusterNetworkPolicy",
     "name": "cnp",
     "priority": 7,
     "rules": [
      {
       "index": 0,
       "action": "Accept",
       "matched": true,
       "decided": true
      },
      {
       "index": 1,
       "action": "Deny",
       "matched": false,
       "why": "peer 10.0.0.2 is pod shop/db, not selected by namespaceSelector {} and podSelector app=web"
      }
     ]
    }
   ]
  },
  {
   "name": "NetworkPolicy",
   "outcome": "not-asked",
   "why": "the Admin tier has decided",
   "policies": [
    {
     "kind": "NetworkPolicy",
     "namespace": "shop",
     "name": "np",
     "rules": []
    }
   ]
  },
  {
   "name": "WorkloadPolicy",
   "outcome": "not-asked",
   "why": "the Admin tier has decided",
   "policies": []
  },
  {
   "name": "Baseline",
   "outcome": "not-asked",
   "why": "the Admin tier has decided",
   "policies": []
  }
 ]
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
