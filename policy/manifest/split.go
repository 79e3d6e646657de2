// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Document is one object of a manifest file, not yet parsed.
type Document struct {
	Index int    // of the document in its file, from 0; empty documents do not count
	Item  int    // within the items of a List, or -1
	Data  []byte // JSON; the text as it stands if it cannot be converted
}

// String names the document within its file, as in "documents[1].items[0]".
func (d Document) String() string {
	if d.Item < 0 {
		return fmt.Sprintf("documents[%d]", d.Index)
	}
	return fmt.Sprintf("documents[%d].items[%d]", d.Index, d.Item)
}

// Split cuts a file of YAML documents, or of JSON values one after the other,
// into its objects; the items of a "kind: List" are objects of their own. A
// document that is broken is returned as it stands, for Parse to say what is
// wrong, so that it does not take the others with it. The error wraps ErrSyntax.
func Split(data []byte) ([]Document, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: not UTF-8 text", ErrSyntax)
	}
	parts, ok := splitJSON(data)
	if !ok {
		parts = splitYAML(data)
	}
	var docs []Document
	for i, part := range parts {
		if data, err := toJSON(part); err == nil {
			part = data
		}
		items, ok := listItems(part)
		if !ok {
			docs = append(docs, Document{i, -1, part})
			continue
		}
		for j, item := range items {
			docs = append(docs, Document{i, j, item})
		}
	}
	return docs, nil
}

// splitJSON returns the values of a stream of JSON objects, or false if data is
// not one.
func splitJSON(data []byte) ([][]byte, bool) {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return nil, false
	}
	var parts [][]byte
	for dec := json.NewDecoder(bytes.NewReader(data)); ; {
		var part json.RawMessage
		switch err := dec.Decode(&part); {
		case err == io.EOF:
			return parts, true
		case err != nil:
			return nil, false
		}
		parts = append(parts, part)
	}
}

// splitYAML cuts at the lines that the YAML standard reserves for this: "---"
// begins a document, "..." ends one (YAML 1.1, 9.1). Documents without content
// are dropped.
func splitYAML(data []byte) [][]byte {
	var parts [][]byte
	var part []byte
	content := false
	flush := func() {
		if content {
			parts = append(parts, part)
		}
		part, content = nil, false
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	for len(data) > 0 {
		n := lineLength(data)
		line := data[:n]
		data = data[n:]
		if isMarker(line) {
			flush()
			line = line[len("---"):]
			if !isContent(line) { // content may follow on the same line
				continue
			}
		}
		part = append(part, line...)
		content = content || isContent(line)
	}
	flush()
	return parts
}

// breaks are the characters that end a line in YAML 1.1.
const breaks = "\n\r\u0085\u2028\u2029"

// lineLength is the length of the first line with its break.
func lineLength(data []byte) int {
	i := bytes.IndexAny(data, breaks)
	if i < 0 {
		return len(data)
	}
	_, n := utf8.DecodeRune(data[i:])
	return i + n
}

func isMarker(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("---")) && !bytes.HasPrefix(line, []byte("...")) {
		return false
	}
	r, n := utf8.DecodeRune(line[len("---"):])
	return n == 0 || strings.ContainsRune(" \t"+breaks, r)
}

// isContent tells a line of an object from a blank one, a comment or a directive.
func isContent(line []byte) bool {
	text := bytes.TrimSpace(line)
	return len(text) > 0 && text[0] != '#' && line[0] != '%'
}

// listItems returns the items of a "kind: List", or false if data is not one.
func listItems(data []byte) ([][]byte, bool) {
	var list struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ListMeta   `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}
	strict, err := kjson.UnmarshalStrict(data, &list)
	if err != nil || len(strict) > 0 || list.APIVersion != "v1" || list.Kind != "List" {
		return nil, false
	}
	items := make([][]byte, len(list.Items))
	for i, item := range list.Items {
		items[i] = item
	}
	return items, true
}

// toJSON returns the JSON of the one object that doc holds.
func toJSON(doc []byte) ([]byte, error) {
	if !utf8.Valid(doc) {
		return nil, errors.New("not UTF-8 text")
	}
	data := bytes.TrimSpace(doc)
	if !json.Valid(data) {
		var err error
		if data, err = yamlToJSON(doc); err != nil {
			return nil, err
		}
	}
	if !bytes.HasPrefix(data, []byte("{")) {
		return nil, errors.New("not an object; write apiVersion, kind and metadata")
	}
	return data, nil
}

func yamlToJSON(doc []byte) ([]byte, error) {
	// The conversion reads the first document and stops, also where only a wrong
	// indentation ends it. What follows must not be dropped.
	dec := yamlv2.NewDecoder(bytes.NewReader(doc))
	for n := 0; ; n++ {
		var skip struct{}
		err := dec.Decode(&skip)
		if err == io.EOF {
			break
		}
		if n > 0 {
			return nil, errors.New("more follows after the end of the object; check its indentation, or separate documents by ---")
		}
		// A value that is not an object is a TypeError here; toJSON refuses it.
		if te := (*yamlv2.TypeError)(nil); err != nil && !errors.As(err, &te) {
			return nil, err
		}
	}
	return yaml.YAMLToJSONStrict(doc)
}
