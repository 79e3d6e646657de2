// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	networkv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/sluice-io/sluice/policy"
)

// clusterNetworkRules is a manifest of priority 7 for every pod; rules are further
// fields of its spec.
func clusterNetworkRules(tier, rules string) string {
	return clusterNetworkSpec("{tier: " + tier + ", priority: 7, subject: {namespaces: {}}, " + rules + "}")
}

func clusterNetworkSpec(spec string) string {
	return "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: a}\nspec: " + spec
}

func TestParseClusterNetworkPolicy(t *testing.T) {
	web := is("app", "web")
	for name, tc := range map[string]struct {
		spec string
		want policy.ClusterNetworkPolicy
	}{
		"no rules": {"{tier: Admin, priority: 0, subject: {namespaces: {}}, ingress: [], egress: null}", policy.ClusterNetworkPolicy{Tier: policy.Admin}},
		"last":     {"{tier: Baseline, priority: 1000, subject: {namespaces: {matchLabels: {app: web}}}}", policy.ClusterNetworkPolicy{Tier: policy.Baseline, Priority: 1000, Namespaces: web}},
		"pods": {"{tier: Admin, priority: 1, subject: {pods: {podSelector: {matchLabels: {app: web}}}}}",
			policy.ClusterNetworkPolicy{Tier: policy.Admin, Priority: 1, Pods: web}},
		"pods of": {"{tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {matchLabels: {app: web}}, podSelector: {}}}}",
			policy.ClusterNetworkPolicy{Tier: policy.Admin, Priority: 1, Namespaces: web}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Name = "a"
			wantValue(t, clusterNetworkSpec(tc.spec), &tc.want)
			if got, want := mustParse(t, clusterNetworkSpec(tc.spec)).Ref, tc.want.Ref(); got != want {
				t.Errorf("Ref = %v, want %v", got, want)
			}
		})
	}
}

func TestParseClusterNetworkRule(t *testing.T) {
	web, all := is("app", "web"), policy.Selector{}
	block := func(cidr string) policy.Peer { return policy.Peer{IPBlock: &policy.IPBlock{CIDR: prefixes(cidr)[0]}} }
	ingress := func(r ...policy.Rule) [2][]policy.Rule { return [2][]policy.Rule{policy.Ingress: r} }
	egress := func(r ...policy.Rule) [2][]policy.Rule { return [2][]policy.Rule{policy.Egress: r} }
	for name, tc := range map[string]struct {
		rules string
		want  [2][]policy.Rule
	}{
		"ingress": {"ingress: [{name: " + strings.Repeat("é", 100) + ", action: Accept, from: [{namespaces: {}}, {pods: {podSelector: {matchLabels: {app: web}}}}]}, {action: Deny, from: [{namespaces: {matchLabels: {app: web}}}]}]",
			ingress(
				policy.Rule{Action: policy.Accept, Peers: []policy.Peer{{Namespaces: &all}, {Namespaces: &all, Pods: &web}}},
				policy.Rule{Action: policy.Deny, Peers: []policy.Peer{{Namespaces: &web}}})},
		"egress": {`egress: [{action: Pass, to: [{networks: [10.1.2.3/8, "::/0"]}, {nodes: {}}, {nodes: {matchLabels: {app: web}}}, {pods: {namespaceSelector: {matchLabels: {app: web}}, podSelector: {}}}]}]`,
			egress(policy.Rule{Action: policy.Pass, Peers: []policy.Peer{block("10.0.0.0/8"), block("::/0"), {Nodes: &all}, {Nodes: &web}, {Namespaces: &web, Pods: &all}}})},
		"protocols": {"egress: [{action: Deny, to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 1}}}, {udp: {destinationPort: {range: {start: 1, end: 65535}}}}, {sctp: {destinationPort: {number: 65535}}}, {destinationNamedPort: http}]}]",
			egress(policy.Rule{Action: policy.Deny, Peers: []policy.Peer{{Namespaces: &all}}, Ports: []policy.Port{
				{Protocol: policy.TCP, Number: 1}, {Protocol: policy.UDP, Number: 1, End: 65535},
				{Protocol: policy.SCTP, Number: 65535}, {Name: "http"}}})},
		"empty peer": {"ingress: [{action: Accept, from: [{}]}]",
			ingress(policy.Rule{Action: policy.Accept, Unknown: true})},
		"peer of a later version": {"egress: [{action: Pass, to: [{namespaces: {}}, {moon: [{phase: new}], sun: 1}, {nodes: {}}]}, {action: Deny, to: [{nodes: {}}]}]",
			egress(
				policy.Rule{Action: policy.Pass, Unknown: true, Peers: []policy.Peer{{Namespaces: &all}, {Nodes: &all}}},
				policy.Rule{Action: policy.Deny, Peers: []policy.Peer{{Nodes: &all}}})},
		"egress peer on ingress": {"ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}, {namespaces: null}]}]",
			ingress(policy.Rule{Action: policy.Deny, Unknown: true})},
		"named port beside an unknown peer": {"egress: [{action: Accept, to: [{later: 1}, {namespaces: {}}], protocols: [{destinationNamedPort: http}]}]",
			egress(policy.Rule{Action: policy.Accept, Unknown: true, Peers: []policy.Peer{{Namespaces: &all}}, Ports: []policy.Port{{Name: "http"}}})},
	} {
		t.Run(name, func(t *testing.T) {
			wantValue(t, clusterNetworkRules("Admin", tc.rules),
				&policy.ClusterNetworkPolicy{Name: "a", Tier: policy.Admin, Priority: 7, Rules: tc.want})
		})
	}
}

func TestParseRefusesClusterNetworkPolicy(t *testing.T) {
	many := func(item string) string { return "[" + strings.Repeat(item+", ", 26) + "]" }
	from := func(rest string) string {
		return clusterNetworkRules("Admin", "ingress: [{action: Deny, from: "+rest+"}]")
	}
	to := func(peer string) string {
		return clusterNetworkRules("Admin", "egress: [{action: Accept, to: ["+peer+"]}]")
	}
	protocol := func(p string) string {
		return clusterNetworkRules("Admin", "egress: [{action: Accept, to: [{namespaces: {}}], protocols: ["+p+"]}]")
	}
	subject := func(s string) string { return clusterNetworkSpec("{tier: Admin, priority: 1, subject: " + s + "}") }
	const peer, port = "spec.egress[0].to[0]", "spec.egress[0].protocols[0]"
	for name, tc := range map[string]struct {
		doc  string
		want []string
	}{
		"nothing":         {clusterNetworkSpec("{}"), []string{"spec.tier: required", "spec.priority: required", "spec.subject: exactly one"}},
		"tier":            {clusterNetworkRules("NetworkPolicy", ""), []string{"spec.tier=NetworkPolicy: Admin or Baseline"}},
		"priority -1":     {clusterNetworkSpec("{tier: Admin, priority: -1, subject: {namespaces: {}}}"), []string{"spec.priority=-1: 0 to 1000"}},
		"priority 1001":   {clusterNetworkSpec("{tier: Admin, priority: 1001, subject: {namespaces: {}}}"), []string{"spec.priority=1001"}},
		"empty subject":   {subject("{}"), []string{"spec.subject: exactly one"}},
		"two subjects":    {subject("{namespaces: {}, pods: {podSelector: {}}}"), []string{"spec.subject: exactly one"}},
		"no pod selector": {subject("{pods: {}}"), []string{"spec.subject.pods.podSelector: required"}},
		"subject field":   {subject("{nodes: {}}"), []string{"spec.subject.nodes: unknown field", "spec.subject"}},
		"selector":        {subject("{namespaces: {matchLabels: {a: \"%\"}}}"), []string{"spec.subject.namespaces.matchLabels[a]=%"}},
		"26 rules":        {clusterNetworkRules("Admin", "ingress: "+many("{action: Deny, from: [{namespaces: {}}]}")), []string{"spec.ingress=26: more than 25"}},
		"26 egress rules": {clusterNetworkRules("Admin", "egress: "+many("{action: Deny, to: [{namespaces: {}}]}")), []string{"spec.egress=26: more than 25"}},
		"name":            {from("[{namespaces: {}}], name: " + strings.Repeat("a", 101)), []string{"spec.ingress[0].name: 100 characters"}},
		"no action":       {clusterNetworkRules("Admin", "ingress: [{from: [{namespaces: {}}]}]"), []string{"spec.ingress[0].action: required"}},
		"action":          {clusterNetworkRules("Admin", "egress: [{action: Allow, to: [{namespaces: {}}]}]"), []string{"spec.egress[0].action=Allow: Accept, Deny or Pass"}},
		"no peers":        {clusterNetworkRules("Admin", "ingress: [{action: Deny}], egress: [{action: Deny, to: []}]"), []string{"spec.ingress[0].from: required", "spec.egress[0].to: required"}},
		"26 peers":        {from(many("{namespaces: {}}")), []string{"spec.ingress[0].from=26"}},
		"to on ingress":   {from("[{namespaces: {}}], to: []"), []string{"spec.ingress[0].to: unknown field"}},
		"rule field":      {from("[{}], ports: []"), []string{"spec.ingress[0].ports: unknown field"}},
		"peer no object":  {from("[{namespaces: {}}, 5]"), []string{"spec.ingress[0].from[1]=5: an object"}},
		"peer type":       {to("{networks: 10.0.0.0/8}"), []string{peer + ".networks=10.0.0.0/8: a list"}},
		"deep type":       {to("{namespaces: {matchLabels: {a: 5}}}"), []string{peer + ".namespaces.matchLabels[a]=5: a string"}},
		"two fields":      {to("{namespaces: {}, nodes: {}}"), []string{peer + ": more than one field"}},
		"beside a known":  {to("{namespaces: {}, moon: {}}"), []string{peer + ".moon: unknown field"}},
		"within a known":  {to("{pods: {podSelector: {}, podSelecter: {}}}"), []string{peer + ".pods.podSelecter: unknown field"}},
		"peer's pods":     {to("{pods: {namespaceSelector: {}}}"), []string{peer + ".pods.podSelector: required"}},
		"nodes":           {to("{nodes: {matchExpressions: [{key: a, operator: Is}]}}"), []string{peer + ".nodes.matchExpressions[0].operator=Is"}},
		"no network":      {to("{networks: []}"), []string{peer + ".networks: at least one"}},
		"networks": {to(`{networks: [10.0.0.0/8, 10.0.0.1, "::ffff:10.0.0.0/104", 10.0.0.0/8]}`),
			[]string{peer + ".networks[1]=10.0.0.1: not a CIDR", peer + ".networks[2]: write the IPv4 CIDR", peer + ".networks[3]=10.0.0.0/8: more than once"}},
		"domain names":      {to("{domainNames: [a.example]}"), []string{peer + ".domainNames: domain names are not enforced yet; write networks"}},
		"domains denied":    {clusterNetworkRules("Admin", "egress: [{action: Deny, to: [{domainNames: [a.example]}]}]"), []string{peer + ".domainNames: only for action Accept"}},
		"no protocol":       {protocol(""), []string{"spec.egress[0].protocols: at least one"}},
		"26 protocols":      {clusterNetworkRules("Admin", "egress: [{action: Deny, to: [{namespaces: {}}], protocols: "+many("{destinationNamedPort: a}")+"}]"), []string{"spec.egress[0].protocols=26"}},
		"empty protocol":    {protocol("{}"), []string{port + ": exactly one"}},
		"two protocols":     {protocol("{tcp: {destinationPort: {number: 1}}, destinationNamedPort: a}"), []string{port + ": exactly one"}},
		"unknown protocol":  {protocol("{icmp: {}}"), []string{port + ".icmp: unknown field", port}},
		"no port":           {protocol("{tcp: {}}"), []string{port + ".tcp.destinationPort: required"}},
		"empty port":        {protocol("{udp: {destinationPort: {}}}"), []string{port + ".udp.destinationPort: exactly one"}},
		"port 0":            {protocol("{sctp: {destinationPort: {number: 0}}}"), []string{port + ".sctp.destinationPort: from 1 to 65535"}},
		"port 65536":        {protocol("{tcp: {destinationPort: {number: 65536}}}"), []string{port + ".tcp.destinationPort.number=65536"}},
		"number and range":  {protocol("{tcp: {destinationPort: {number: 1, range: {start: 1, end: 2}}}}"), []string{port + ".tcp.destinationPort: exactly one"}},
		"range of one":      {protocol("{tcp: {destinationPort: {range: {start: 2, end: 2}}}}"), []string{port + ".tcp.destinationPort.range: start is not below end"}},
		"open range":        {protocol("{tcp: {destinationPort: {range: {end: 65536}}}}"), []string{port + ".tcp.destinationPort.range.start=0", port + ".tcp.destinationPort.range.end=65536"}},
		"port name":         {protocol("{destinationNamedPort: HTTP}"), []string{port + ".destinationNamedPort=HTTP"}},
		"name and networks": {clusterNetworkRules("Admin", "egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]}]"), []string{port + ".destinationNamedPort=http: no named ports"}},
		"name and nodes":    {clusterNetworkRules("Admin", "egress: [{action: Deny, to: [{namespaces: {}}, {nodes: {}}], protocols: [{destinationNamedPort: http}]}]"), []string{port + ".destinationNamedPort=http: no named ports"}},
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, tc.doc, tc.want...) })
	}
	// More unknown fields than the decoder counts, where they are tolerated, hide
	// none elsewhere.
	var fields strings.Builder
	for i := range 200 {
		fields.WriteString(strings.Repeat("x", i+1) + ": 1, ")
	}
	wantFields(t, from("[{"+fields.String()+"}], prots: []"), "spec.ingress[0].prots: unknown field")
}

// What the API's own types can say is read.
func TestClusterNetworkPolicyFields(t *testing.T) {
	all := metav1.LabelSelector{}
	port := networkv1alpha2.Port{Range: &networkv1alpha2.PortRange{Start: 1, End: 2}}
	protocols := []networkv1alpha2.ClusterNetworkPolicyProtocol{{UDP: &networkv1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: &port}}}
	pods := &networkv1alpha2.NamespacedPod{NamespaceSelector: all, PodSelector: all}
	data, err := json.Marshal(networkv1alpha2.ClusterNetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkv1alpha2.GroupVersion.String(), Kind: "ClusterNetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec: networkv1alpha2.ClusterNetworkPolicySpec{
			Tier: networkv1alpha2.AdminTier, Priority: 1,
			Subject: networkv1alpha2.ClusterNetworkPolicySubject{Pods: pods},
			Ingress: []networkv1alpha2.ClusterNetworkPolicyIngressRule{{
				Name: "in", Action: networkv1alpha2.ClusterNetworkPolicyRuleActionDeny, Protocols: protocols,
				From: []networkv1alpha2.ClusterNetworkPolicyIngressPeer{{Namespaces: &all}, {Pods: pods}},
			}},
			Egress: []networkv1alpha2.ClusterNetworkPolicyEgressRule{{
				Name: "out", Action: networkv1alpha2.ClusterNetworkPolicyRuleActionPass, Protocols: protocols,
				To: []networkv1alpha2.ClusterNetworkPolicyEgressPeer{{Namespaces: &all}, {Pods: pods}, {Nodes: &all}, {Networks: []networkv1alpha2.CIDR{"10.0.0.0/8"}}},
			}},
		},
		Status: networkv1alpha2.ClusterNetworkPolicyStatus{Conditions: []metav1.Condition{{Type: "Accepted"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := mustParse(t, string(data)).Value.(*policy.ClusterNetworkPolicy)
	if n := len(got.Rules[policy.Ingress][0].Peers) + len(got.Rules[policy.Egress][0].Peers); n != 6 || got.Rules[policy.Egress][0].Unknown {
		t.Errorf("%d peers, want 6: %+v", n, got.Rules)
	}
}
