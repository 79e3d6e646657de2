// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-io/sluice/policy"
)

var equateAddrs = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func mustParse(tb testing.TB, doc string) *Object {
	tb.Helper()
	o, err := Parse([]byte(doc))
	if err != nil {
		tb.Fatalf("Parse: %v\n%s", err, doc)
	}
	return o
}

// fieldErrors flattens a tree of joined and wrapped errors.
func fieldErrors(err error) []*policy.FieldError {
	var out []*policy.FieldError
	switch e := err.(type) {
	case *policy.FieldError:
		return []*policy.FieldError{e}
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			out = append(out, fieldErrors(err)...)
		}
	}
	return out
}

// wantFields asserts that exactly these fields are refused. A field may be
// followed by ": " and a part of the reason.
func wantFields(tb testing.TB, doc string, want ...string) {
	tb.Helper()
	_, err := Parse([]byte(doc))
	errs := fieldErrors(err)
	var got []string
	for _, e := range errs {
		got = append(got, e.Field)
		if e.Reason == "" {
			tb.Errorf("%s: no reason", e.Field)
		}
	}
	var fields []string
	for i, w := range want {
		field, reason, _ := strings.Cut(w, ": ")
		fields = append(fields, field)
		if i < len(errs) && !strings.Contains(errs[i].Reason, reason) {
			tb.Errorf("%s: reason %q lacks %q", field, errs[i].Reason, reason)
		}
	}
	if !slices.Equal(got, fields) {
		tb.Errorf("refused fields %q, want %q\nerror: %v\n%s", got, fields, err, doc)
	}
}

func TestParseSentinels(t *testing.T) {
	for name, tc := range map[string]struct {
		doc  string
		want error
	}{
		"empty":           {"", ErrSyntax},
		"comment":         {"# nothing", ErrSyntax},
		"not utf8":        {"kind: \xff", ErrSyntax},
		"scalar":          {"Pod", ErrSyntax},
		"list":            {"- a", ErrSyntax},
		"broken yaml":     {"kind: [", ErrSyntax},
		"broken json":     {`{"kind": "Pod"`, ErrSyntax},
		"repeated key":    {"kind: Pod\nkind: Node", ErrSyntax},
		"two documents":   {"kind: Pod\n---\nkind: Pod", ErrSyntax},
		"two JSON values": {`{"kind":"Pod"}{"kind":"Pod"}`, ErrSyntax},
		"dedent":          {"  apiVersion: v1\n  kind: Pod\nmetadata: {name: a}", ErrSyntax},
		"flow, more":      {"{apiVersion: v1, kind: Pod, metadata: {name: a}}\n{a: b}", ErrSyntax},
		"not a number":    {"apiVersion: v1\nkind: Pod\nmetadata: {name: .nan}", ErrSyntax},
		"unknown kind":    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}", ErrUnknownKind},
		"old version":     {"apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}", ErrUnknownKind},
		"no version":      {"kind: Pod\nmetadata: {name: a}", ErrUnknownKind},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(tc.doc)); !errors.Is(err, tc.want) {
				t.Errorf("Parse = %v, want %v", err, tc.want)
			}
		})
	}
}

func TestParseRefusesObject(t *testing.T) {
	long := strings.Repeat("a", 64)
	for name, tc := range map[string]struct {
		doc  string
		want []string
	}{
		"no kind":        {"apiVersion: v1\nmetadata: {name: a}", []string{"kind"}},
		"kind no string": {"apiVersion: v1\nkind: 5", []string{"kind"}},
		"unknown kind":   {"apiVersion: v1\nkind: Secret", []string{"kind"}},
		"version":        {"apiVersion: v2\nkind: Pod", []string{"apiVersion: write v1"}},
		"list":           {"apiVersion: v1\nkind: List\nitems: []", []string{"kind"}},
		"cluster network policy": {"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: a}",
			[]string{"kind: not supported by this version"}},
		"cluster workload policy": {"apiVersion: sluice.dev/v1alpha1\nkind: ClusterWorkloadPolicy\nmetadata: {name: a}",
			[]string{"kind: not supported by this version"}},
		"no metadata":       {"apiVersion: v1\nkind: Pod", []string{"metadata.name: required"}},
		"null metadata":     {"apiVersion: v1\nkind: Pod\nmetadata:", []string{"metadata.name"}},
		"name":              {"apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}", []string{"metadata.name"}},
		"namespace":         {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: a.b}", []string{"metadata.namespace"}},
		"namespace's name":  {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}", []string{"metadata.name"}},
		"cluster-scoped":    {"apiVersion: v1\nkind: Node\nmetadata: {name: a, namespace: b}", []string{"metadata.namespace"}},
		"label key":         {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a/b/c: d}}", []string{"metadata.labels[a/b/c]"}},
		"label value":       {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a: " + long + "}}", []string{"metadata.labels[a]"}},
		"label no string":   {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a: yes, b: c}}", []string{"metadata.labels[a]: a string"}},
		"unknown field":     {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, lables: {}}", []string{"metadata.lables: unknown field"}},
		"letter case":       {"apiVersion: v1\nkind: Pod\nMetadata: {name: a}", []string{"Metadata", "metadata.name"}},
		"nested unknown":    {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{}, {imaeg: b}]}", []string{"spec.containers[1].imaeg"}},
		"repeated in JSON":  {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"}}`, []string{"metadata.name: more than once"}},
		"repeated label":    {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"x":"1","x":"2"}}}`, []string{"metadata.labels.x"}},
		"several":           {"apiVersion: v1\nkind: Pod\nmetadata: {name: A, labels: {a: \"%\"}}\nstatus: {podIP: b}\nfoo: 1", []string{"foo", "metadata.name", "metadata.labels[a]", "status.podIP"}},
		"wrong types":       {"apiVersion: v1\nkind: Pod\nmetadata: {name: 5}\nspec: {hostNetwork: \"x\", containers: [{ports: [{containerPort: a}]}]}\nstatus: []", []string{"metadata.name: a string", "spec.containers[0].ports[0].containerPort: integer", "spec.hostNetwork: true or false", "status: an object"}},
		"quantity and time": {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: noon}\nspec: {containers: [{resources: {limits: {memory: much}}}]}", []string{"metadata.creationTimestamp: a time", "spec.containers[0].resources.limits[memory]: a quantity"}},
		"stored kind":       {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}", []string{"spec.prots"}},
		"pod ip":            {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.256}]}", []string{"status.podIPs[1].ip"}},
		"pod ip zone":       {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {podIP: \"fe80::1%eth0\"}", []string{"status.podIP"}},
		"pod ip loopback":   {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {podIP: 127.0.0.1}", []string{"status.podIP"}},
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, tc.doc, tc.want...) })
	}
}

func TestParseObject(t *testing.T) {
	addrs := func(s ...string) (out []netip.Addr) {
		for _, a := range s {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for name, tc := range map[string]struct {
		doc  string
		want Object
	}{
		"namespace": {
			"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}",
			Object{
				Ref:   policy.Ref{Kind: policy.KindNamespace, Name: "shop"},
				JSON:  []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"team":"a"},"name":"shop"}}`),
				Value: policy.Namespace{Name: "shop", Labels: map[string]string{"team": "a", "kubernetes.io/metadata.name": "shop"}},
			},
		},
		"namespace, wrong name label": {
			"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {kubernetes.io/metadata.name: bank}}",
			Object{
				Ref:   policy.Ref{Kind: policy.KindNamespace, Name: "shop"},
				JSON:  []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"kubernetes.io/metadata.name":"bank"},"name":"shop"}}`),
				Value: policy.Namespace{Name: "shop", Labels: map[string]string{"kubernetes.io/metadata.name": "shop"}},
			},
		},
		"pod from a cluster": {
			`
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  uid: u-1
  resourceVersion: "9223372036854775807"
  creationTimestamp: "2026-01-02T03:04:05Z"
  managedFields: [{manager: kubelet, operation: Update, fieldsV1: {"f:status": {}}}]
  labels: {app: web}
spec:
  nodeName: n1
  containers: [{name: web, image: web:1, resources: {limits: {memory: 64Mi}}, ports: [{containerPort: 80}]}]
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "::ffff:10.0.0.2"}, {ip: fd00::1}]
`,
			Object{
				Ref: policy.Ref{Kind: policy.KindPod, Namespace: "default", Name: "web-1"},
				Value: policy.Pod{
					PodKey: policy.PodKey{Namespace: "default", Name: "web-1"},
					UID:    "u-1",
					Labels: map[string]string{"app": "web"},
					IPs:    addrs("10.0.0.1", "10.0.0.2", "fd00::1"),
					Node:   "n1",
				},
			},
		},
		"ended pod": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: {hostNetwork: true}\nstatus: {phase: Succeeded, podIP: 10.0.0.1}",
			Object{
				Ref:   policy.Ref{Kind: policy.KindPod, Namespace: "b", Name: "a"},
				Value: policy.Pod{PodKey: policy.PodKey{Namespace: "b", Name: "a"}, HostNetwork: true},
			},
		},
		"node": {
			"apiVersion: v1\nkind: Node\nmetadata: {name: n1}",
			Object{
				Ref:  policy.Ref{Kind: policy.KindNode, Name: "n1"},
				JSON: []byte(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"}}`),
			},
		},
		"service gets a namespace": {
			"apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {a: <&>}}\nspec: {ports: [{port: 80, targetPort: http}]}",
			Object{
				Ref:  policy.Ref{Kind: policy.KindService, Namespace: "default", Name: "s"},
				JSON: []byte(`{"apiVersion":"v1","kind":"Service","metadata":{"annotations":{"a":"<&>"},"name":"s","namespace":"default"},"spec":{"ports":[{"port":80,"targetPort":"http"}]}}`),
			},
		},
		"endpoint slice": {
			"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-1, namespace: a}\naddressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]",
			Object{Ref: policy.Ref{Kind: policy.KindEndpointSlice, Namespace: "a", Name: "s-1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustParse(t, tc.doc)
			if tc.want.JSON == nil {
				tc.want.JSON = got.JSON
			}
			if diff := cmp.Diff(tc.want, *got, equateAddrs); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorIsShort(t *testing.T) {
	doc := "apiVersion: v1\nkind: Pod\nmetadata: {name: " + strings.Repeat("ü", 5000) + "}"
	_, err := Parse([]byte(doc))
	if errs := fieldErrors(err); len(errs) != 1 || len(errs[0].Value) > 70 {
		t.Errorf("Parse = %v", err)
	}
}
