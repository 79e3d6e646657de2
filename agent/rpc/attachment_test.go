// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLockEndsWithItsContext(t *testing.T) {
	records, err := OpenAttachments(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := records.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = records.Lock(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("lock that is taken: %v, want a deadline and who has it", err)
	}
	unlock()
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if unlock, err = records.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	unlock()
}
