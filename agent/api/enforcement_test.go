// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
)

func TestEnforcement(t *testing.T) {
	f := mustServe(t, nil)
	c := f.client
	for _, bad := range []string{"", "0s", "-1m", "25h", "soon"} {
		if _, err := c.SetEnforcement(t.Context(), rpc.Enforcement{Off: true, For: bad}); err == nil {
			t.Errorf("off for %q was taken", bad)
		}
	}
	if f.backend.off != 0 {
		t.Error("a refused request switched enforcement off")
	}
	got, err := c.SetEnforcement(t.Context(), rpc.Enforcement{Off: true, For: "90s"})
	if err != nil || !got.Off || got.For != "1m30s" || f.backend.off != 90*time.Second {
		t.Errorf("off for 90s: %+v, %v, backend %s", got, err, f.backend.off)
	}
	if got, err = c.SetEnforcement(t.Context(), rpc.Enforcement{}); err != nil || got.Off || f.backend.off != 0 {
		t.Errorf("on: %+v, %v", got, err)
	}
}
