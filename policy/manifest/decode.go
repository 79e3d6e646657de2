// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// decode fills object, which stands at p, from data and reports unknown and
// repeated fields. It is false if a value does not fit its field: what object
// holds is then of no use.
func (c *checker) decode(p *field.Path, data []byte, object any) bool {
	strict, err := kjson.UnmarshalStrict(data, object)
	if err != nil {
		c.mismatches(p, data, reflect.TypeOf(object))
		return false
	}
	for _, err := range strict {
		reason := "unknown field; remove it or correct its name"
		if strings.HasPrefix(err.Error(), "duplicate") {
			reason = "written more than once; remove all but one"
		}
		at := p
		if fe, ok := err.(kjson.FieldError); ok {
			at = p.Child(fe.FieldPath())
		}
		c.add(at, "", reason)
	}
	return true
}

// mismatches reports each value below p that does not fit its type. The decoder
// itself names only the first one, and not its place within lists.
func (c *checker) mismatches(p *field.Path, data []byte, t reflect.Type) {
	if kjson.UnmarshalCaseSensitivePreserveInts(data, reflect.New(t).Interface()) == nil {
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	before := len(c.errs)
	if !reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		switch t.Kind() {
		case reflect.Struct:
			c.structMismatches(p, data, t)
		case reflect.Slice:
			var items []json.RawMessage
			_ = json.Unmarshal(data, &items) // not a list: reported below
			for i, item := range items {
				c.mismatches(p.Index(i), item, t.Elem())
			}
		case reflect.Map:
			fields := object(data)
			for _, key := range slices.Sorted(maps.Keys(fields)) {
				c.mismatches(p.Key(key), fields[key], t.Elem())
			}
		}
	}
	if len(c.errs) == before {
		c.add(p, literal(data), "wrong value; write "+describe(t))
	}
}

func (c *checker) structMismatches(p *field.Path, data []byte, t reflect.Type) {
	fields := object(data)
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			c.structMismatches(p, data, f.Type)
		} else if value, ok := fields[name]; ok {
			c.mismatches(p.Child(name), value, f.Type)
		}
	}
}

// object returns the fields of a JSON object, none if data is something else.
func object(data []byte) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil
	}
	return fields
}

// literal is a JSON value as an error shows it: a string without its quotes.
func literal(data []byte) string {
	if s, err := strconv.Unquote(string(data)); err == nil {
		return s
	}
	return string(data)
}

func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string, in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Int32, reflect.Int64:
		return "an integer"
	case reflect.Slice:
		return "a list"
	}
	switch t.Name() {
	case "IntOrString":
		return "an integer or a string"
	case "Time", "MicroTime":
		return "a time as in 2006-01-02T15:04:05Z"
	case "Quantity":
		return "a quantity, such as 64Mi"
	}
	return "an object"
}
