// SPDX-License-Identifier: Apache-2.0

// Package secrets hides what looks like a secret in the arguments of a process.
package secrets

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// hidden stands where a secret was.
const hidden = "***"

// name is that of a secret, or the end of it: DB_PASSWORD, clientSecret.
const name = `(?:passwo?r?d|passphrase|pwd|secret|token|credentials?|signature|cookie|` +
	`(?:^|\b|[-_.])(?:pass|auth|authorization)|(?:api|access|private|auth|account|encryption|signing|secret)[-_.]?key)s?`

// words are what a name has in it, one of them at least.
var words = []string{"pass", "pwd", "secret", "token", "credential", "signature", "cookie", "auth", "key"}

// value is what follows a name: quoted, or up to where something else begins.
const value = `(?:(?:bearer|basic)\s+)?("[^"]*"?|'[^']*'?|[^\s"'&;,]+)`

// pattern finds a secret within an argument: its last group, or all of it where there
// is none.
type pattern struct {
	re    *regexp.Regexp
	hints []string // one of them is in whatever re matches, in lower case; none: not known
}

var common = []pattern{
	{regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+([\w+/=.~-]+)`), []string{"bearer", "basic"}},
	{regexp.MustCompile(`\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*:([^\s/]+)@`), []string{"://"}},
	{regexp.MustCompile(`(?i)` + name + `["']?\s*(?:=|:)\s*` + value), words},
	{regexp.MustCompile(`(?i)(?:^|\s)--?[\w.-]*?` + name + `\s+` + value), words},
	{regexp.MustCompile(`\b(eyJ[\w-]{8,}\.[\w-]+\.[\w-]+)`), []string{"eyj"}},
	{regexp.MustCompile(`\b(gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|sk-[\w-]{16,})`),
		[]string{"gh", "glpat", "xox", "sk-"}},
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(.*)`), []string{"private key"}},
}

// option is one whose value is the next argument.
var option = pattern{regexp.MustCompile(`(?i)^--?[\w.-]*?` + name + `$`), words}

// Patterns hide arguments.
type Patterns struct{ all []pattern }

// New returns the patterns that everyone has and further ones: of a match the last
// group is hidden, or all of it where there is none.
func New(further []string) (*Patterns, error) {
	p := &Patterns{all: slices.Clone(common)}
	for i, expression := range further {
		re, err := regexp.Compile(expression)
		if err != nil {
			return nil, fmt.Errorf("pattern %d: %w", i, err)
		}
		p.all = append(p.all, pattern{re: re})
	}
	return p, nil
}

// Hide returns args without their secrets. What it is given is not changed.
func (p *Patterns) Hide(args []string) []string {
	out := make([]string, len(args))
	follows := false // the argument is the value of an option
	for i, arg := range args {
		lower := strings.ToLower(arg)
		out[i] = arg
		if follows {
			out[i] = hidden
		}
		for j := range p.all {
			if !follows && p.all[j].hinted(lower) {
				out[i] = hide(p.all[j].re, out[i])
			}
		}
		follows = option.hinted(lower) && option.re.MatchString(arg)
	}
	return out
}

func (p *pattern) hinted(lower string) bool {
	return p.hints == nil || slices.ContainsFunc(p.hints, func(h string) bool { return strings.Contains(lower, h) })
}

// hide replaces the last group of each match.
func hide(re *regexp.Regexp, s string) string {
	var out []byte
	at := 0
	for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
		from, to := m[len(m)-2], m[len(m)-1]
		if from < at || from == to { // a group that took no part, or an empty one
			continue
		}
		out = append(append(out, s[at:from]...), hidden...)
		at = to
	}
	return string(append(out, s[at:]...))
}
