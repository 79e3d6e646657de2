// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	stdcmp "cmp"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

// workloadPolicy is a manifest with this spec, in YAML flow style.
func workloadPolicy(spec string) string {
	return "apiVersion: sluice.dev/v1alpha1\nkind: WorkloadPolicy\nmetadata: {name: a, namespace: b}\nspec: " + spec
}

func TestParseWorkloadPolicy(t *testing.T) {
	egress := [2]bool{policy.Egress: true}
	rules := func(r ...policy.Rule) [2][]policy.Rule { return [2][]policy.Rule{policy.Egress: r} }
	longest := "/" + strings.Repeat("a", 254)
	for name, tc := range map[string]struct {
		spec string
		want policy.WorkloadPolicy
	}{
		"no spec":      {"", policy.WorkloadPolicy{}},
		"audit, drop":  {"{mode: Audit, denyResponse: Drop, fallback: Kill}", policy.WorkloadPolicy{Mode: policy.Audit, DenyResponse: policy.Drop, Fallback: policy.FallbackKill}},
		"written out":  {"{mode: Enforce, denyResponse: Errno, fallback: Observe}", policy.WorkloadPolicy{}},
		"null egress":  {"{egress: null}", policy.WorkloadPolicy{}},
		"empty egress": {"{egress: {}}", policy.WorkloadPolicy{Isolates: egress}},
		"empty allow":  {"{egress: {allow: []}}", policy.WorkloadPolicy{Isolates: egress}},
		"empty rule":   {"{egress: {allow: [{}]}}", policy.WorkloadPolicy{Isolates: egress, Rules: rules(policy.Rule{})}},
		"selector": {"{podSelector: {matchLabels: {app: web}}}", policy.WorkloadPolicy{
			Pods: policy.Selector{Requirements: []policy.Requirement{{Key: "app", Operator: policy.In, Values: []string{"web"}}}}}},
		"rule": {"{egress: {allow: [{to: [{podSelector: {}, namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 443}, {protocol: UDP, port: 53}], processes: [{path: /usr/bin/curl}, {path: " + longest + "}]}]}}",
			policy.WorkloadPolicy{Isolates: egress, Rules: rules(policy.Rule{
				Peers: []policy.Peer{
					{Pods: &policy.Selector{}, Namespaces: &policy.Selector{}},
					{IPBlock: &policy.IPBlock{CIDR: netip.MustParsePrefix("10.0.0.0/8")}},
				},
				Ports:     []policy.Port{{Protocol: policy.TCP, Number: 443}, {Protocol: policy.UDP, Number: 53}},
				Processes: []policy.Process{{Path: "/usr/bin/curl"}, {Path: longest}},
			})}},
		"escalation": {"{escalation: {default: Ignore, rules: [{classes: [Privileges], action: Kill}, {classes: [Privileges], action: Ignore, quarantine: false, allow: []}]}}",
			policy.WorkloadPolicy{Escalation: []policy.EscalationRule{
				{Classes: []policy.Class{policy.Privileges}, Action: policy.Kill},
				{Classes: []policy.Class{policy.Privileges}, Action: policy.Ignore},
			}}},
		"empty ingress":      {"{ingress: {}}", policy.WorkloadPolicy{Isolates: [2]bool{policy.Ingress: true}}},
		"empty ingress rule": {"{ingress: {allow: [{}]}}", policy.WorkloadPolicy{Isolates: [2]bool{policy.Ingress: true}, Rules: [2][]policy.Rule{policy.Ingress: {{}}}}},
		"both sections": {"{egress: {}, ingress: {allow: [{from: [{entity: Node}], ports: [{port: http}, {protocol: SCTP, port: 5, endPort: 9}], processes: [{path: /usr/sbin/nginx}]}]}}",
			policy.WorkloadPolicy{Isolates: [2]bool{true, true}, Rules: [2][]policy.Rule{policy.Ingress: {{
				Peers:     []policy.Peer{{Entity: policy.EntityNode}},
				Ports:     []policy.Port{{Protocol: policy.TCP, Name: "http"}, {Protocol: policy.SCTP, Number: 5, End: 9}},
				Processes: []policy.Process{{Path: "/usr/sbin/nginx"}},
			}}}}},
		"empty escalation": {"{escalation: {}}", policy.WorkloadPolicy{}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Namespace, tc.want.Name = "b", "a"
			tc.want.Mode = stdcmp.Or(tc.want.Mode, policy.Enforce)
			tc.want.DenyResponse = stdcmp.Or(tc.want.DenyResponse, policy.Errno)
			tc.want.Fallback = stdcmp.Or(tc.want.Fallback, policy.Observe)
			o := mustParse(t, workloadPolicy(tc.spec))
			if diff := cmp.Diff(&tc.want, o.Value, equateAddrs); diff != "" {
				t.Errorf("Value (-want +got):\n%s", diff)
			}
			if want := tc.want.Ref(); o.Ref != want {
				t.Errorf("Ref = %v, want %v", o.Ref, want)
			}
		})
	}
}

func TestParseRefusesWorkloadPolicy(t *testing.T) {
	const removeIt = ": not supported by this version; remove it"
	process := func(p string) string { return "{egress: {allow: [{processes: [" + p + "]}]}}" }
	escalate := func(rule string) string { return "{escalation: {rules: [" + rule + "]}}" }
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"mode":                {"{mode: enforce}", []string{"spec.mode"}},
		"deny response":       {"{denyResponse: EPERM}", []string{"spec.denyResponse"}},
		"fallback":            {"{fallback: Deny}", []string{"spec.fallback=Deny: write Observe, Kill or Close"}},
		"tls":                 {"{egress: {allow: [{tls: {minVersion: TLS12}}]}}", []string{"spec.egress.allow[0].tls" + removeIt}},
		"tls on ingress":      {"{ingress: {allow: [{tls: {}}]}}", []string{"spec.ingress.allow[0].tls: unknown field"}},
		"to on ingress":       {"{ingress: {allow: [{to: []}]}}", []string{"spec.ingress.allow[0].to: unknown field"}},
		"port":                {"{egress: {allow: [{ports: [{port: 1}, {port: 70000}]}]}}", []string{"spec.egress.allow[0].ports[1].port=70000"}},
		"endPort of a name":   {"{ingress: {allow: [{ports: [{port: http, endPort: 5}]}]}}", []string{"spec.ingress.allow[0].ports[0].endPort=5"}},
		"process on ingress":  {"{ingress: {allow: [{processes: [{path: nginx}]}]}}", []string{"spec.ingress.allow[0].processes[0].path=nginx"}},
		"interpreter":         {process("{path: /a.py, interpreter: /usr/bin/python3}"), []string{"spec.egress.allow[0].processes[0].interpreter" + removeIt}},
		"parents":             {process("{path: /a, parents: []}"), []string{"spec.egress.allow[0].processes[0].parents: unknown field"}},
		"no path":             {process("{}"), []string{"spec.egress.allow[0].processes[0].path: required"}},
		"relative path":       {process("{path: usr/bin/curl}"), []string{"spec.egress.allow[0].processes[0].path"}},
		"dots in path":        {process("{path: /usr/../bin/curl}"), []string{"spec.egress.allow[0].processes[0].path"}},
		"dot in path":         {process("{path: /usr/./curl}"), []string{"spec.egress.allow[0].processes[0].path"}},
		"two slashes":         {process("{path: /usr//curl}"), []string{"spec.egress.allow[0].processes[0].path"}},
		"slash at the end":    {process("{path: /usr/bin/}"), []string{"spec.egress.allow[0].processes[0].path"}},
		"root":                {process("{path: /}"), []string{"spec.egress.allow[0].processes[0].path"}},
		"NUL in path":         {process(`{path: "/a\0b"}`), []string{"spec.egress.allow[0].processes[0].path"}},
		"pattern":             {process("{path: /usr/*/curl}"), []string{"spec.egress.allow[0].processes[0].path: a * stands at the end alone"}},
		"process twice":       {process("{path: /a}, {path: /a}"), []string{"spec.egress.allow[0].processes[1]=/a: more than once"}},
		"long path":           {process("{path: /" + strings.Repeat("a", 255) + "}"), []string{"spec.egress.allow[0].processes[0].path"}},
		"default action":      {"{escalation: {default: Kill}}", []string{"spec.escalation.default" + removeIt}},
		"no classes":          {escalate("{action: Kill}"), []string{"spec.escalation.rules[0].classes"}},
		"other class":         {escalate("{classes: [Kernel, Privileges], action: Kill}"), []string{"spec.escalation.rules[0].classes[0]" + removeIt}},
		"class twice":         {escalate("{classes: [Privileges, Privileges], action: Kill}"), []string{"spec.escalation.rules[0].classes[1]: more than once"}},
		"no action":           {escalate("{classes: [Privileges]}"), []string{"spec.escalation.rules[0].action: required"}},
		"action":              {escalate("{classes: [Privileges], action: Deny}"), []string{"spec.escalation.rules[0].action: not supported by this version"}},
		"allow in escalation": {escalate("{classes: [Privileges], action: Kill, allow: [{path: /usr/bin/sudo}]}"), []string{"spec.escalation.rules[0].allow" + removeIt}},
		"quarantine":          {escalate("{classes: [Privileges], action: Kill, quarantine: true}"), []string{"spec.escalation.rules[0].quarantine" + removeIt}},
		"unknown field":       {"{egres: {}}", []string{"spec.egres: unknown field"}},
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, workloadPolicy(tc.spec), tc.want...) })
	}
}
