// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"time"
)

// Spare lets everything through for a time, which the kernel ends by itself; 0 ends
// it now.
func (e *Engine) Spare(span time.Duration) error {
	if err := e.dp.Spare(span); err != nil {
		return err
	}
	if span > 0 {
		e.log.Warn("ENFORCEMENT IS OFF: everything passes on this node", "for", span)
	} else {
		e.log.Warn("enforcement is on")
	}
	return nil
}

// Spared is how long everything still passes.
func (e *Engine) Spared() (time.Duration, error) { return e.dp.Spared() }

// enforcement describes for status whether the kernel enforces, and what is wrong
// if it does not.
func (e *Engine) enforcement() (state string, problem string) {
	left, err := e.dp.Spared()
	switch {
	case err != nil:
		return "unknown", err.Error()
	case left > 0:
		left = left.Round(time.Second)
		return "off", fmt.Sprintf(
			"ENFORCEMENT IS OFF: everything passes on this node for another %s; end it with `sluice enforce on`", left)
	}
	return "on", ""
}
