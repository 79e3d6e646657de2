// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
)

func pods(ctx context.Context, f figures, bin string) error { return nil }
