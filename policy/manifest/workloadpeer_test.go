// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"strings"
	"testing"

	"github.com/sluice-io/sluice/policy"
)

func clusterWorkloadPolicy(spec string) string {
	return "apiVersion: sluice.dev/v1alpha1\nkind: ClusterWorkloadPolicy\nmetadata: {name: a}\nspec: " + spec
}

func TestParseWorkloadPeer(t *testing.T) {
	shop := is("team", "shop")
	for name, tc := range map[string]struct {
		peer string
		want policy.Peer
	}{
		"namespaces":        {"{namespaceSelector: {}}", policy.Peer{Namespaces: &policy.Selector{}}},
		"pods":              {"{podSelector: {}, namespaceSelector: {matchLabels: {team: shop}}}", policy.Peer{Pods: &policy.Selector{}, Namespaces: &shop}},
		"block":             {"{ipBlock: {cidr: 10.0.0.1/8, except: [10.1.0.0/16]}}", policy.Peer{IPBlock: &policy.IPBlock{CIDR: prefixes("10.0.0.0/8")[0], Except: prefixes("10.1.0.0/16")}}},
		"service elsewhere": {"{service: {namespace: shop, name: db}}", policy.Peer{Service: &policy.ObjectKey{Namespace: "shop", Name: "db"}}},
		"service here":      {"{service: {name: db}}", policy.Peer{Service: &policy.ObjectKey{Namespace: "b", Name: "db"}}},
		"every account":     {"{serviceAccount: {}}", policy.Peer{ServiceAccounts: &policy.ServiceAccounts{}}},
		"accounts": {"{serviceAccount: {namespaceSelector: {matchLabels: {team: shop}}, names: [web, a.b]}}",
			policy.Peer{ServiceAccounts: &policy.ServiceAccounts{Namespaces: &shop, Names: []string{"web", "a.b"}}}},
		"API server":      {"{entity: KubeAPIServer}", policy.Peer{Entity: policy.KubeAPIServer}},
		"nodes":           {"{entity: Node, domainNames: []}", policy.Peer{Entity: policy.EntityNode}},
		"world":           {"{entity: World}", policy.Peer{Entity: policy.World}},
		"nothing besides": {"{entity: World, podSelector: null, service: null}", policy.Peer{Entity: policy.World}},
	} {
		t.Run(name, func(t *testing.T) {
			rules := []policy.Rule{{Peers: []policy.Peer{tc.want}}}
			wantValue(t, workloadPolicy("{egress: {allow: [{to: ["+tc.peer+"]}]}, ingress: {allow: [{from: ["+tc.peer+"]}]}}"),
				&policy.WorkloadPolicy{Namespace: "b", Name: "a", Mode: policy.Enforce, DenyResponse: policy.Errno, Fallback: policy.Observe,
					Isolates: [2]bool{true, true}, Rules: [2][]policy.Rule{rules, rules}})
		})
	}
}

func TestParseDomainNames(t *testing.T) {
	const label63 = "a23456789012345678901234567890123456789012345678901234567890bcd"
	names := []string{"localhost", "example.com", "*.example.com", "_sip._tcp.xn--4ca.com", "1-2.3", label63 + ".com"}
	list := `["` + strings.Join(names, `", "`) + `"]`
	wantValue(t, workloadPolicy("{mode: Audit, egress: {allow: [{to: [{domainNames: "+list+"}]}]}}"),
		&policy.WorkloadPolicy{Namespace: "b", Name: "a", Mode: policy.Audit, DenyResponse: policy.Errno, Fallback: policy.Observe,
			Isolates: [2]bool{policy.Egress: true}, Rules: [2][]policy.Rule{policy.Egress: {{Peers: []policy.Peer{{DomainNames: names}}}}}})
	long := strings.Repeat("a.", 126) + "ab"
	for _, bad := range []string{"", "*", "a.", ".a", "a..b", "Example.com", "a.*.b", "*a.b", "*.*.a", "-a.b", "a-.b", "a b", "ä.de", "x" + label63, long} {
		t.Run(bad, func(t *testing.T) {
			wantFields(t, workloadPolicy(`{mode: Audit, egress: {allow: [{to: [{domainNames: [a, "`+bad+`"]}]}]}}`),
				"spec.egress.allow[0].to[0].domainNames[1]: write one such as")
		})
	}
}

func TestParseRefusesWorkloadPeer(t *testing.T) {
	for name, tc := range map[string]struct {
		peer string
		want []string // below the peer
	}{
		"empty":               {"{}", []string{": empty peer"}},
		"block and selector":  {"{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}", []string{": peers of their own"}},
		"entity and block":    {"{entity: World, ipBlock: {cidr: x}}", []string{": peers of their own", ".ipBlock.cidr=x"}},
		"service and account": {"{service: {name: a}, serviceAccount: {}}", []string{": peers of their own"}},
		"service name":        {"{service: {}}", []string{".service.name: required"}},
		"service form":        {"{service: {namespace: a.b, name: A}}", []string{".service.namespace=a.b", ".service.name=A"}},
		"account name":        {"{serviceAccount: {names: [a, B]}}", []string{".serviceAccount.names[1]=B"}},
		"account selector":    {"{serviceAccount: {namespaceSelector: {matchLabels: {a: \"%\"}}}}", []string{".serviceAccount.namespaceSelector.matchLabels[a]=%"}},
		"entity":              {"{entity: world}", []string{".entity=world: KubeAPIServer, Node or World"}},
		"domain names":        {`{domainNames: ["*.example.com"]}`, []string{".domainNames=*.example.com: domain names are not enforced yet; write ipBlock, or mode: Audit"}},
		"unknown field":       {"{podSelector: {}, nodes: {}}", []string{".nodes: unknown field"}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, w := range tc.want {
				want = append(want, "spec.egress.allow[0].to[0]"+w)
			}
			wantFields(t, workloadPolicy("{egress: {allow: [{to: ["+tc.peer+"]}]}}"), want...)
		})
	}
	wantFields(t, workloadPolicy("{mode: Audit, ingress: {allow: [{from: [{domainNames: [a]}]}]}}"),
		"spec.ingress.allow[0].from[0].domainNames=a: only for egress")
}

func TestParseClusterWorkloadPolicy(t *testing.T) {
	shop := is("team", "shop")
	for name, tc := range map[string]struct {
		spec string
		want policy.WorkloadPolicy
	}{
		"empty": {"{}", policy.WorkloadPolicy{Namespaces: &policy.Selector{}}},
		"subject": {"{namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {team: shop}}, mode: Audit, denyResponse: Drop}",
			policy.WorkloadPolicy{Namespaces: &shop, Pods: shop, Mode: policy.Audit, DenyResponse: policy.Drop}},
		"sources": {`{allowedSources: [10.1.2.3/8, 0.0.0.0/0, "::/0"]}`,
			policy.WorkloadPolicy{Namespaces: &policy.Selector{}, AllowedSources: prefixes("10.0.0.0/8", "0.0.0.0/0", "::/0")}},
		"runtime rules": {"{exec: {allow: [{path: /bin/*}]}}", policy.WorkloadPolicy{Namespaces: &policy.Selector{},
			Exec: &policy.Exec{Allow: []policy.ExecRule{{Process: policy.Process{Path: "/bin/*"}}}, Action: policy.Prevent}}},
		"escalation": {"{escalation: {rules: [{classes: [Privileges], action: Kill}]}}",
			policy.WorkloadPolicy{Namespaces: &policy.Selector{},
				Escalation: []policy.EscalationRule{{Classes: []policy.Class{policy.Privileges}, Action: policy.Kill}}}},
		"peers": {"{ingress: {allow: [{from: [{namespaceSelector: {}, podSelector: {}}, {serviceAccount: {namespaceSelector: {}, names: [a]}}, {service: {namespace: c, name: d}}, {entity: Node}]}]}}",
			policy.WorkloadPolicy{Namespaces: &policy.Selector{}, Isolates: [2]bool{policy.Ingress: true},
				Rules: [2][]policy.Rule{policy.Ingress: {{Peers: []policy.Peer{
					{Namespaces: &policy.Selector{}, Pods: &policy.Selector{}},
					{ServiceAccounts: &policy.ServiceAccounts{Namespaces: &policy.Selector{}, Names: []string{"a"}}},
					{Service: &policy.ObjectKey{Namespace: "c", Name: "d"}},
					{Entity: policy.EntityNode},
				}}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Name, tc.want.Fallback = "a", policy.Observe
			if tc.want.Mode == "" {
				tc.want.Mode, tc.want.DenyResponse = policy.Enforce, policy.Errno
			}
			wantValue(t, clusterWorkloadPolicy(tc.spec), &tc.want)
			if got, want := mustParse(t, clusterWorkloadPolicy(tc.spec)).Ref, tc.want.Ref(); got != want {
				t.Errorf("Ref = %v, want %v", got, want)
			}
		})
	}
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"pods of nowhere":     {"{egress: {allow: [{to: [{podSelector: {}}]}]}}", []string{"spec.egress.allow[0].to[0].namespaceSelector: no namespace of its own"}},
		"accounts of nowhere": {"{ingress: {allow: [{from: [{serviceAccount: {names: [a]}}]}]}}", []string{"spec.ingress.allow[0].from[0].serviceAccount.namespaceSelector: name the peer's"}},
		"service of nowhere":  {"{egress: {allow: [{to: [{service: {name: a}}]}]}}", []string{"spec.egress.allow[0].to[0].service.namespace: no namespace of its own"}},
		"sources":             {"{allowedSources: [10.0.0.0/8, 10.0.0.1]}", []string{"spec.allowedSources[1]=10.0.0.1: not a CIDR"}},
		"selector":            {"{namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}}", []string{"spec.namespaceSelector.matchExpressions[0].operator=Is"}},
		"shared section":      {"{exec: {}, podSelector: 5}", []string{"spec.podSelector=5: an object"}},
		"section":             {"{exec: {action: x}}", []string{"spec.exec.action=x"}},
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, clusterWorkloadPolicy(tc.spec), tc.want...) })
	}
}
