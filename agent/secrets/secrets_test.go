// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHide(t *testing.T) {
	tests := []struct{ args, want string }{ // arguments between |
		{"psql|--password=hunter2|-h|db", "psql|--password=***|-h|db"},
		{"x|--db-password|hunter2|next", "x|--db-password|***|next"},
		{"x|-token|hunter2", "x|-token|***"},
		{"x|--token=a=b==", "x|--token=***"},
		{"x|--clientSecret=hunter2", "x|--clientSecret=***"},
		{"x|--api-key|hunter2", "x|--api-key|***"},
		{"env|DB_PASSWORD=hunter2|PORT=80", "env|DB_PASSWORD=***|PORT=80"},
		{"env|AWS_SECRET_ACCESS_KEY=hunter2", "env|AWS_SECRET_ACCESS_KEY=***"},
		{"env|GITHUB_TOKEN=hunter2", "env|GITHUB_TOKEN=***"},
		{"docker|-e|PGPASSWORD=hunter2", "docker|-e|PGPASSWORD=***"},
		{"curl|-H|Authorization: Bearer hunter2", "curl|-H|Authorization: Bearer ***"},
		{"curl|-H|X-Api-Key: hunter2", "curl|-H|X-Api-Key: ***"},
		{"x|bearer hunter2.x", "x|bearer ***"},
		{"git|clone|https://me:hunter2@host/x", "git|clone|https://me:***@host/x"},
		{"git|clone|https://me:p@ss@host/x", "git|clone|https://me:***@host/x"},
		{"x|redis://:hunter2@host:6379/0", "x|redis://:***@host:6379/0"},
		{"curl|https://host/?user=me&access_token=hunter2&page=1", "curl|https://host/?user=me&access_token=***&page=1"},
		{`x|{"password": "hunter2 and more", "user": "me"}`, `x|{"password": ***, "user": "me"}`},
		{"sh|-c|PASSWORD='hunter 2' run --token hunter2 --port 80", "sh|-c|PASSWORD=*** run --token *** --port 80"},
		{"x|eyJhbGciOiJI.eyJzdWIi.c2ln", "x|***"},
		{"x|ghp_0123456789abcdef0123", "x|***"},
		{"x|-----BEGIN RSA PRIVATE KEY-----\nhunter2", "x|-----BEGIN RSA PRIVATE KEY-----***"},
		{"x|license=hunter2", "x|license=***"}, // the further pattern
		{"x|whole-secret", "x|***"},            // likewise, without a group

		// What is none.
		{"sleep|60", "sleep|60"},
		{"ssh|git@host|ls", "ssh|git@host|ls"},
		{"curl|https://host:8080/a@b", "curl|https://host:8080/a@b"},
		{"ls|/etc/passwd", "ls|/etc/passwd"},
		{"sh|-c|exec /usr/bin/x --compass=north --bypass=1", "sh|-c|exec /usr/bin/x --compass=north --bypass=1"},
		{"x|--author=me|--key=k|--port|80", "x|--author=me|--key=k|--port|80"},
		{"", ""},
	}
	p, err := New([]string{`license=(\S+)`, `whole-secret`})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		args := strings.Split(test.args, "|")
		before := slices.Clone(args)
		if diff := cmp.Diff(test.want, strings.Join(p.Hide(args), "|")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if !slices.Equal(args, before) {
			t.Errorf("%q was changed to %q", before, args)
		}
	}
	if _, err := New([]string{"a", "("}); err == nil || !strings.Contains(err.Error(), "pattern 1") {
		t.Errorf("a pattern that is none: %v", err)
	}
}

func FuzzHide(f *testing.F) {
	f.Add("--password=hunter2", "x")
	f.Add("https://a:b@c", "token: \"")
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Hide([]string{a, b}); len(got) != 2 {
			t.Errorf("%d arguments", len(got))
		}
		if got := p.Hide([]string{"--password", a}); got[1] != hidden {
			t.Errorf("%q is shown as %q", a, got[1])
		}
		for _, c := range a {
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z') {
				return
			}
		}
		if a != "" && p.Hide([]string{"DB_PASSWORD=" + a})[0] != "DB_PASSWORD="+hidden {
			t.Errorf("%q is shown", a)
		}
	})
}

func BenchmarkHide(b *testing.B) {
	p, err := New(nil)
	if err != nil {
		b.Fatal(err)
	}
	args := []string{"/usr/bin/server", "--listen=0.0.0.0:80", "--config", "/etc/server/config.yaml", "--db-password=hunter2"}
	for b.Loop() {
		p.Hide(args)
	}
}
