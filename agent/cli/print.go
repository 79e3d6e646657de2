// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// format is the value of --output.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
)

// String is the format's name.
func (f *format) String() string { return string(*f) }

// Type describes the flag's value in help.
func (f *format) Type() string { return "format" }

// Set refuses unknown formats.
func (f *format) Set(s string) error {
	switch format(s) {
	case formatTable, formatJSON:
		*f = format(s)
		return nil
	}
	return fmt.Errorf("%q: write table or json", s)
}

// items is the JSON of every list: {"items": []}, as in the API.
type items[T any] struct {
	Items []T `json:"items"`
}

// printJSON prints one value on one line.
func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// table is rows of cells; the first row is the head.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

func (t table) print(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range t {
		fmt.Fprintln(out, line(row))
	}
	return out.Flush()
}

// line separates cells by tabs; an empty one is "-", so that every row has all
// its columns for cut and awk.
func line(cells []string) string {
	safeCells := make([]string, len(cells))
	for i, cell := range cells {
		if safeCells[i] = safe(cell); cell == "" {
			safeCells[i] = "-"
		}
	}
	return strings.Join(safeCells, "\t")
}

// safe quotes what could play tricks on a terminal: paths and arguments are
// chosen by whoever runs in the pod.
func safe(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return strconv.Quote(s)
		}
	}
	return s
}
