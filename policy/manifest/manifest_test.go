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

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// is selects by a label.
func is(key string, values ...string) policy.Selector {
	return policy.Selector{Requirements: []policy.Requirement{{Key: key, Operator: policy.In, Values: values}}}
}

// wantValue asserts what a manifest is read as.
func wantValue(tb testing.TB, doc string, want any) {
	tb.Helper()
	if diff := cmp.Diff(want, mustParse(tb, doc).Value, equateAddrs); diff != "" {
		tb.Errorf("Value (-want +got):\n%s", diff)
	}
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
// followed by "=" and the value, and by ": " and a part of the reason.
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
		place, reason, _ := strings.Cut(w, ": ")
		field, value, valued := strings.Cut(place, "=")
		fields = append(fields, field)
		if i < len(errs) && valued && errs[i].Value != value {
			tb.Errorf("%s: value %q, want %q", field, errs[i].Value, value)
		}
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
		"no kind":           {"apiVersion: v1\nmetadata: {name: a}", []string{"kind"}},
		"kind no string":    {"apiVersion: v1\nkind: 5", []string{"kind"}},
		"unknown kind":      {"apiVersion: v1\nkind: Secret", []string{"kind"}},
		"version":           {"apiVersion: v2\nkind: Pod", []string{"apiVersion: write v1"}},
		"list":              {"apiVersion: v1\nkind: List\nitems: []", []string{"kind"}},
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
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, tc.doc, tc.want...) })
	}
}

func TestParseObject(t *testing.T) {
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
		"gets a namespace": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {a: <&>}}\nspec: {containers: [{image: x}]}",
			Object{
				Ref:   policy.Ref{Kind: policy.KindPod, Namespace: "default", Name: "p"},
				JSON:  []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"a":"<&>"},"name":"p","namespace":"default"},"spec":{"containers":[{"image":"x"}]}}`),
				Value: policy.Pod{PodKey: policy.PodKey{Namespace: "default", Name: "p"}, ServiceAccount: "default"},
			},
		},
		"stays cluster-scoped": {
			"apiVersion: v1\nkind: Node\nmetadata: {name: n1}",
			Object{
				Ref:   policy.Ref{Kind: policy.KindNode, Name: "n1"},
				JSON:  []byte(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"}}`),
				Value: policy.Node{Name: "n1"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustParse(t, tc.doc)
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
