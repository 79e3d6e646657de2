// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// MaxOff is the longest time for which enforcement can be switched off at once.
const MaxOff = 24 * time.Hour

// Enforcement is the body of PUT and GET /v1/enforcement.
type Enforcement struct {
	// Off says that everything passes on this node, and is reported as if Audit
	// policies alone were there.
	Off bool `json:"off"`
	// For is how long that lasts, or still lasts: "10m". The kernel ends it by itself.
	For string `json:"for,omitempty"`
}

// SetEnforcement switches enforcement off for a time, or on.
func (c *Client) SetEnforcement(ctx context.Context, e Enforcement) (Enforcement, error) {
	var reply Enforcement
	b, err := json.Marshal(e)
	if err != nil {
		return reply, fmt.Errorf("encode request: %w", err)
	}
	err = c.call(ctx, "PUT", "/v1/enforcement", b, &reply)
	return reply, err
}
