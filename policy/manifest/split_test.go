// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	doc := func(index, item int, data string) Document { return Document{index, item, []byte(data)} }
	a, b := `{"a":1}`, `{"b":2}`
	for name, tc := range map[string]struct {
		data string
		want []Document
	}{
		"nothing":             {"", nil},
		"blank":               {"\n---\n# comment\n---\n...\n", nil},
		"one":                 {"a: 1", []Document{doc(0, -1, a)}},
		"two":                 {"a: 1\n---\nb: 2\n", []Document{doc(0, -1, a), doc(1, -1, b)}},
		"empty between":       {"---\na: 1\n---\n\n---  \nb: 2\n---", []Document{doc(0, -1, a), doc(1, -1, b)}},
		"end mark":            {"a: 1\n...\nb: 2\n", []Document{doc(0, -1, a), doc(1, -1, b)}},
		"text after mark":     {"--- {a: 1}\n---\t# comment\nb: 2", []Document{doc(0, -1, a), doc(1, -1, b)}},
		"no mark":             {"a: \"---\"\nb: |\n  ---\n  ----\n", []Document{doc(0, -1, `{"a":"---","b":"---\n----\n"}`)}},
		"comment in text":     {"a: |\n  x\n\n  # y\n", []Document{doc(0, -1, `{"a":"x\n\n# y\n"}`)}},
		"directive":           {"%YAML 1.1\n---\na: 1\n", []Document{doc(0, -1, a)}},
		"byte order mark":     {"\uFEFFa: 1\n---\nb: 2", []Document{doc(0, -1, a), doc(1, -1, b)}},
		"CR LF":               {"a: 1\r\n---\r\nb: 2\r\n", []Document{doc(0, -1, a), doc(1, -1, b)}},
		"CR":                  {"a: 1\r---\rb: 2", []Document{doc(0, -1, a), doc(1, -1, b)}},
		"line separator":      {"a: 1\u2028---\u2028b: 2", []Document{doc(0, -1, a), doc(1, -1, b)}},
		"JSON":                {a, []Document{doc(0, -1, a)}},
		"JSON stream":         {a + "\n" + b, []Document{doc(0, -1, a), doc(1, -1, b)}},
		"JSON documents":      {a + "\n---\n" + b, []Document{doc(0, -1, a), doc(1, -1, b)}},
		"broken stays":        {"a: [\n---\nb: 2", []Document{doc(0, -1, "a: [\n"), doc(1, -1, b)}},
		"List":                {"a: 1\n---\napiVersion: v1\nkind: List\nmetadata: {resourceVersion: \"\"}\nitems: [{a: 1}, {b: 2}]", []Document{doc(0, -1, a), doc(1, 0, a), doc(1, 1, b)}},
		"JSON List":           {`{"apiVersion":"v1","kind":"List","items":[` + a + `]}`, []Document{doc(0, 0, a)}},
		"List with odd parts": {`{"apiVersion":"v1","kind":"List","items":[` + a + `],"items":[]}`, []Document{doc(0, -1, `{"apiVersion":"v1","kind":"List","items":[`+a+`],"items":[]}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Split([]byte(tc.data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Split (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := Split([]byte("a: \xff")); !errors.Is(err, ErrSyntax) {
		t.Errorf("Split = %v, want ErrSyntax", err)
	}
}

func TestDocumentString(t *testing.T) {
	if got := (Document{Index: 1, Item: -1}).String(); got != "documents[1]" {
		t.Error(got)
	}
	if got := (Document{Index: 1, Item: 2}).String(); got != "documents[1].items[2]" {
		t.Error(got)
	}
}
