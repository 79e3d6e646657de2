// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

// networkPolicy is a manifest with this spec, in YAML flow style.
func networkPolicy(spec string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: b}\nspec: " + spec
}

func TestParseNetworkPolicy(t *testing.T) {
	web := is("app", "web")
	all := policy.Selector{}
	ingress, egress, both := [2]bool{true, false}, [2]bool{false, true}, [2]bool{true, true}
	rules := func(r ...policy.Rule) [2][]policy.Rule { return [2][]policy.Rule{policy.Ingress: r} }
	peers := func(p ...policy.Peer) [2][]policy.Rule { return rules(policy.Rule{Peers: p}) }
	ports := func(p ...policy.Port) [2][]policy.Rule { return rules(policy.Rule{Ports: p}) }
	for name, tc := range map[string]struct {
		spec string
		want policy.NetworkPolicy
	}{
		"no spec":          {"", policy.NetworkPolicy{Isolates: ingress}},
		"empty":            {"{}", policy.NetworkPolicy{Isolates: ingress}},
		"empty selector":   {"{podSelector: {}}", policy.NetworkPolicy{Isolates: ingress}},
		"selector":         {"{podSelector: {matchLabels: {app: web}}}", policy.NetworkPolicy{Isolates: ingress, Pods: web}},
		"empty lists":      {"{policyTypes: [], ingress: [], egress: []}", policy.NetworkPolicy{Isolates: ingress}},
		"egress by rule":   {"{egress: [{}]}", policy.NetworkPolicy{Isolates: both, Rules: [2][]policy.Rule{policy.Egress: {{}}}}},
		"egress by type":   {"{policyTypes: [Egress]}", policy.NetworkPolicy{Isolates: egress}},
		"type without use": {"{policyTypes: [Egress], ingress: [{}]}", policy.NetworkPolicy{Isolates: egress}},
		"ingress only":     {"{policyTypes: [Ingress], egress: [{}], ingress: [{}]}", policy.NetworkPolicy{Isolates: ingress, Rules: rules(policy.Rule{})}},
		"both types":       {"{policyTypes: [Ingress, Egress]}", policy.NetworkPolicy{Isolates: both}},
		"empty rule":       {"{ingress: [{}]}", policy.NetworkPolicy{Isolates: ingress, Rules: rules(policy.Rule{})}},
		"empty from":       {"{ingress: [{from: [], ports: []}]}", policy.NetworkPolicy{Isolates: ingress, Rules: rules(policy.Rule{})}},
		"pods":             {"{ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}", policy.NetworkPolicy{Isolates: ingress, Rules: peers(policy.Peer{Pods: &web})}},
		"all pods":         {"{ingress: [{from: [{podSelector: {}}]}]}", policy.NetworkPolicy{Isolates: ingress, Rules: peers(policy.Peer{Pods: &all})}},
		"namespaces":       {"{ingress: [{from: [{namespaceSelector: {}}]}]}", policy.NetworkPolicy{Isolates: ingress, Rules: peers(policy.Peer{Namespaces: &all})}},
		"both selectors": {"{ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}]}]}",
			policy.NetworkPolicy{Isolates: ingress, Rules: peers(policy.Peer{Namespaces: &all, Pods: &web})}},
		"operators": {"{podSelector: {matchLabels: {b: \"\", a: x}, matchExpressions: [{key: c, operator: NotIn, values: [v, w]}, {key: d/e, operator: Exists}, {key: f, operator: DoesNotExist, values: []}]}}",
			policy.NetworkPolicy{Isolates: ingress, Pods: policy.Selector{Requirements: []policy.Requirement{
				{Key: "a", Operator: policy.In, Values: []string{"x"}},
				{Key: "b", Operator: policy.In, Values: []string{""}},
				{Key: "c", Operator: policy.NotIn, Values: []string{"v", "w"}},
				{Key: "d/e", Operator: policy.Exists},
				{Key: "f", Operator: policy.DoesNotExist, Values: []string{}},
			}}}},
		"ipBlock": {"{ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.9.9.9/16]}}, {ipBlock: {cidr: \"::/0\", except: [\"fd00::/8\"]}}]}]}",
			policy.NetworkPolicy{Isolates: ingress, Rules: peers(
				policy.Peer{IPBlock: &policy.IPBlock{CIDR: netip.MustParsePrefix("10.0.0.0/8"), Except: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}}},
				policy.Peer{IPBlock: &policy.IPBlock{CIDR: netip.MustParsePrefix("::/0"), Except: []netip.Prefix{netip.MustParsePrefix("fd00::/8")}}})}},
		"ports": {"{ingress: [{ports: [{}, {port: 80}, {protocol: UDP}, {protocol: UDP, port: 65535}, {protocol: TCP, port: 1}]}]}",
			policy.NetworkPolicy{Isolates: ingress, Rules: ports(
				policy.Port{Protocol: policy.TCP}, policy.Port{Protocol: policy.TCP, Number: 80},
				policy.Port{Protocol: policy.UDP}, policy.Port{Protocol: policy.UDP, Number: 65535},
				policy.Port{Protocol: policy.TCP, Number: 1})}},
		"SCTP": {"{ingress: [{ports: [{protocol: SCTP}, {protocol: SCTP, port: 132}]}]}",
			policy.NetworkPolicy{Isolates: ingress, Rules: ports(policy.Port{Protocol: policy.SCTP}, policy.Port{Protocol: policy.SCTP, Number: 132})}},
		"named ports": {"{ingress: [{ports: [{port: http}, {protocol: UDP, port: 5-a}, {port: abcdefghij-mnop}]}]}",
			policy.NetworkPolicy{Isolates: ingress, Rules: ports(
				policy.Port{Protocol: policy.TCP, Name: "http"}, policy.Port{Protocol: policy.UDP, Name: "5-a"},
				policy.Port{Protocol: policy.TCP, Name: "abcdefghij-mnop"})}},
		"ranges": {"{ingress: [{ports: [{port: 1, endPort: 65535}, {protocol: UDP, port: 53, endPort: 53}, {protocol: SCTP, port: 65534, endPort: 65535}]}]}",
			policy.NetworkPolicy{Isolates: ingress, Rules: ports(
				policy.Port{Protocol: policy.TCP, Number: 1, End: 65535}, policy.Port{Protocol: policy.UDP, Number: 53},
				policy.Port{Protocol: policy.SCTP, Number: 65534, End: 65535})}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Namespace, tc.want.Name = "b", "a"
			o := mustParse(t, networkPolicy(tc.spec))
			if diff := cmp.Diff(&tc.want, o.Value, equateAddrs); diff != "" {
				t.Errorf("Value (-want +got):\n%s", diff)
			}
			if want := tc.want.Ref(); o.Ref != want {
				t.Errorf("Ref = %v, want %v", o.Ref, want)
			}
		})
	}
}

func TestParseRefusesNetworkPolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"policy type":       {"{policyTypes: [Ingress, Outgress]}", []string{"spec.policyTypes[1]"}},
		"empty peer":        {"{ingress: [{from: [{}]}]}", []string{"spec.ingress[0].from[0]"}},
		"block and pods":    {"{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}", []string{"spec.egress[0].to[0]"}},
		"block and spaces":  {"{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}]}]}", []string{"spec.egress[0].to[0]"}},
		"no cidr":           {"{egress: [{to: [{ipBlock: {}}]}]}", []string{"spec.egress[0].to[0].ipBlock.cidr"}},
		"address":           {"{egress: [{to: [{ipBlock: {cidr: 10.0.0.1}}]}]}", []string{"spec.egress[0].to[0].ipBlock.cidr"}},
		"mask":              {"{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}", []string{"spec.egress[0].to[0].ipBlock.cidr"}},
		"mapped":            {"{egress: [{to: [{ipBlock: {cidr: \"::ffff:10.0.0.0/104\"}}]}]}", []string{"spec.egress[0].to[0].ipBlock.cidr"}},
		"except":            {"{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}]}]}", []string{"spec.egress[0].to[0].ipBlock.except[0]"}},
		"except outside":    {"{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}}]}]}", []string{"spec.egress[0].to[0].ipBlock.except[1]"}},
		"except equal":      {"{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}", []string{"spec.egress[0].to[0].ipBlock.except[0]"}},
		"except larger":     {"{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/7]}}]}]}", []string{"spec.egress[0].to[0].ipBlock.except[0]"}},
		"except family":     {"{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [\"fd00::/8\"]}}]}]}", []string{"spec.egress[0].to[0].ipBlock.except[0]"}},
		"number as string":  {"{egress: [{ports: [{port: \"80\"}]}]}", []string{"spec.egress[0].ports[0].port=80: or a number without quotes"}},
		"port name":         {"{egress: [{ports: [{port: 1}, {port: HTTP}]}]}", []string{"spec.egress[0].ports[1].port=HTTP: must contain only"}},
		"long port name":    {"{egress: [{ports: [{port: abcdefghijklmnop}]}]}", []string{"spec.egress[0].ports[0].port: no more than 15"}},
		"port name hyphens": {"{egress: [{ports: [{port: a--b}, {port: -a}]}]}", []string{"spec.egress[0].ports[0].port", "spec.egress[0].ports[1].port"}},
		"empty port name":   {"{egress: [{ports: [{port: \"\"}]}]}", []string{"spec.egress[0].ports[0].port"}},
		"endPort below":     {"{egress: [{ports: [{port: 1}, {port: 3, endPort: 2}]}]}", []string{"spec.egress[0].ports[1].endPort=2: from port to 65535"}},
		"endPort too large": {"{egress: [{ports: [{port: 3, endPort: 65536}]}]}", []string{"spec.egress[0].ports[0].endPort=65536"}},
		"endPort alone":     {"{egress: [{ports: [{endPort: 2}]}]}", []string{"spec.egress[0].ports[0].endPort=2: port number only"}},
		"endPort of a name": {"{egress: [{ports: [{port: http, endPort: 2}]}]}", []string{"spec.egress[0].ports[0].endPort=2: port number only"}},
		"protocol":          {"{egress: [{ports: [{protocol: tcp, port: 2}]}]}", []string{"spec.egress[0].ports[0].protocol=tcp: write TCP, UDP or SCTP"}},
		"empty protocol":    {"{egress: [{ports: [{protocol: \"\", port: 2}]}]}", []string{"spec.egress[0].ports[0].protocol: unknown"}},
		"port 0":            {"{egress: [{ports: [{port: 0}]}]}", []string{"spec.egress[0].ports[0].port"}},
		"port 65536":        {"{egress: [{ports: [{port: 65536}]}]}", []string{"spec.egress[0].ports[0].port"}},
		"port -1":           {"{egress: [{ports: [{port: -1}]}]}", []string{"spec.egress[0].ports[0].port"}},
		"port 2^32+80":      {"{egress: [{ports: [{port: 4294967376}]}]}", []string{"spec.egress[0].ports[0].port"}},
		"port 80.5":         {"{egress: [{ports: [{port: 80.5}]}]}", []string{"spec.egress[0].ports[0].port"}},
		"operator":          {"{podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}}", []string{"spec.podSelector.matchExpressions[0].operator"}},
		"no operator":       {"{podSelector: {matchExpressions: [{key: a}]}}", []string{"spec.podSelector.matchExpressions[0].operator"}},
		"In without":        {"{podSelector: {matchExpressions: [{key: a, operator: In}]}}", []string{"spec.podSelector.matchExpressions[0].values"}},
		"NotIn without":     {"{podSelector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}}", []string{"spec.podSelector.matchExpressions[0].values"}},
		"Exists with":       {"{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}", []string{"spec.podSelector.matchExpressions[0].values"}},
		"DoesNotExist with": {"{podSelector: {matchExpressions: [{key: a, operator: DoesNotExist, values: [b]}]}}", []string{"spec.podSelector.matchExpressions[0].values"}},
		"expression key":    {"{ingress: [{from: [{podSelector: {matchExpressions: [{key: -a, operator: Exists}]}}]}]}", []string{"spec.ingress[0].from[0].podSelector.matchExpressions[0].key"}},
		"expression value":  {"{podSelector: {matchExpressions: [{key: a, operator: In, values: [b, \"c d\"]}]}}", []string{"spec.podSelector.matchExpressions[0].values[1]"}},
		"label key":         {"{ingress: [{from: [{namespaceSelector: {matchLabels: {\"a b\": c}}}]}]}", []string{"spec.ingress[0].from[0].namespaceSelector.matchLabels[a b]"}},
		"label value":       {"{podSelector: {matchLabels: {a: \"*\"}}}", []string{"spec.podSelector.matchLabels[a]"}},
		"unknown field":     {"{egress: [{to: [{podSelecter: {}}]}]}", []string{"spec.egress[0].to[0].podSelecter: unknown field", "spec.egress[0].to[0]: empty peer"}},
		"wrong type":        {"{egress: [{}, {to: {podSelector: {}}}]}", []string{"spec.egress[1].to: a list"}},
		"together": {"{egress: [{ports: [{protocol: ICMP, port: \"8\", endPort: 3}], to: [{}]}]}",
			[]string{"spec.egress[0].to[0]", "spec.egress[0].ports[0].protocol", "spec.egress[0].ports[0].port", "spec.egress[0].ports[0].endPort"}},
		"in a direction without effect": {"{policyTypes: [Ingress], egress: [{to: [{}]}]}", []string{"spec.egress[0].to[0]"}},
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, networkPolicy(tc.spec), tc.want...) })
	}
}
