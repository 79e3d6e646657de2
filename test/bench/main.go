// SPDX-License-Identifier: Apache-2.0

// Command bench measures what docs/PERFORMANCE.md claims: one figure a line on
// stdout, all of them in bench.json. It needs root and the binaries of `make`.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// figures are the results by name.
type figures map[string]figure

type figure struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

func (f figures) add(name string, value float64, unit string) {
	f[name] = figure{value, unit}
	fmt.Printf("%s\t%.4g\t%s\n", name, value, unit)
}

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) > 1 && os.Args[1] == "talk" {
		if err := talk(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench talk: %v\n", err)
			return 1
		}
		return 0
	}
	bin := flag.String("bin", "bin", "folder of the built binaries")
	out := flag.String("out", "bench.json", "file for the figures")
	flag.Parse()
	signal.Ignore(syscall.SIGPIPE) // `| head` must not keep it from cleaning up
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := filepath.Abs(*bin)
	if err == nil {
		f := make(figures)
		err = measure(ctx, f, dir)
		if err == nil {
			err = f.write(*out)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

func measure(ctx context.Context, f figures, bin string) error {
	for _, part := range []struct {
		name string
		run  func(context.Context, figures, string) error
	}{{"packets", packets}, {"pods", pods}, {"events", events}, {"opens", opens}, {"large", large}, {"rates", rates}} {
		if err := part.run(ctx, f, bin); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func (f figures) write(path string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}
