// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/sluice-io/sluice/agent/cli"
)

func runDemo(context.Context, cli.DemoConfig) error { return errors.New("not built yet") }
