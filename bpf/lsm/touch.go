// SPDX-License-Identifier: Apache-2.0

package lsm

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/state"
)

// Touches are the programs by which a file of the image stays one when its mode, owner
// or times change (6.9).
var Touches = []string{touchProgTouchBegins, touchProgTouchEnds, touchProgTouchWriter, touchProgTouchRenamed, touchProgTouchLinked}

// LoadTouch loads them. The caller must close the collection.
func LoadTouch(s *state.State) (*ebpf.Collection, error) {
	spec, err := loadTouch()
	if err != nil {
		return nil, fmt.Errorf("read embedded touch: %w", err)
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("touch: %w", err)
	}
	return coll, nil
}

// AttachTouch attaches and pins them, in an order in which none is seen half.
func AttachTouch(s *state.State) error {
	coll, err := LoadTouch(s)
	if err != nil {
		return err
	}
	defer coll.Close()
	return attach(s, coll, touchProgTouchWriter, touchProgTouchRenamed, touchProgTouchLinked, touchProgTouchEnds, touchProgTouchBegins)
}
