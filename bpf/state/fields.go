// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/cilium/ebpf"
)

// isMap is false for the sections that clang makes into maps of their own.
func isMap(name string) bool { return !strings.HasPrefix(name, ".") }

// fields gives the map fields of s by map name, as bpf2go has tagged them.
func (s *State) fields() (map[string]**ebpf.Map, error) {
	v := reflect.ValueOf(&s.RawMaps).Elem()
	fields := make(map[string]**ebpf.Map, v.NumField())
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("ebpf")
		to, ok := v.Field(i).Addr().Interface().(**ebpf.Map)
		if !ok {
			return nil, fmt.Errorf("map field %s: not a map", name)
		}
		if isMap(name) {
			fields[name] = to
		}
	}
	return fields, nil
}

// Each calls f for every map by name.
func (s *State) Each(f func(name string, m *ebpf.Map)) {
	fields, err := s.fields()
	if err != nil {
		return
	}
	for name, m := range fields {
		f(name, *m)
	}
}

// Close closes the maps; their pins stay.
func (s *State) Close() error {
	s.Each(func(_ string, m *ebpf.Map) {
		if m != nil {
			m.Close()
		}
	})
	return nil
}
