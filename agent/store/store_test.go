// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

func namespace(name, label string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + ", labels: {team: '" + label + "'}}\n"
}

func ref(name string) policy.Ref { return policy.Ref{Kind: policy.KindNamespace, Name: name} }

func mustNew(tb testing.TB, manifests, state string) *Store {
	tb.Helper()
	s, err := New(Config{Manifests: manifests, StateDir: state, Debounce: time.Millisecond})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// mustWrite replaces a file as a careful editor does.
func mustWrite(tb testing.TB, dir, name, content string) {
	tb.Helper()
	tmp := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		tb.Fatal(err)
	}
}

func mustParse(tb testing.TB, doc string) *manifest.Object {
	tb.Helper()
	obj, err := manifest.Parse([]byte(doc))
	if err != nil {
		tb.Fatal(err)
	}
	return obj
}

func mustPut(tb testing.TB, s *Store, doc string) {
	tb.Helper()
	change, err := s.Put(mustParse(tb, doc))
	if err != nil {
		tb.Fatal(err)
	}
	defer change.Rollback()
	if err := change.Commit(); err != nil {
		tb.Fatal(err)
	}
}

// teams is what the cluster holds: each namespace and its label.
func teams(s *Store) map[string]string {
	got := make(map[string]string)
	for name, n := range s.Cluster().Namespaces {
		got[name] = n.Labels["team"]
	}
	return got
}

func rescan(s *Store) { s.rescan(func() {}) }

func wantTeams(tb testing.TB, s *Store, want map[string]string) {
	tb.Helper()
	if diff := cmp.Diff(want, teams(s)); diff != "" {
		tb.Errorf("namespaces (-want +got):\n%s", diff)
	}
}

func wantProblems(tb testing.TB, s *Store, want ...string) {
	tb.Helper()
	got := s.Problems()
	if len(got) != len(want) {
		tb.Fatalf("problems = %v, want %d", got, len(want))
	}
	for i, p := range got {
		if !strings.Contains(p.String(), want[i]) {
			tb.Errorf("problem %d = %q, want %q in it", i, p, want[i])
		}
	}
}

func TestFolder(t *testing.T) {
	const broken = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: 5}\n"
	tests := []struct {
		name     string
		before   map[string]string
		after    map[string]string // "" deletes
		want     map[string]string
		problems []string
	}{
		{
			name:   "several documents and files",
			before: map[string]string{"x.yaml": namespace("a", "1") + "---\n" + namespace("b", "2"), "y.json": `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"c"}}`},
			want:   map[string]string{"a": "1", "b": "2", "c": ""},
		},
		{
			name:   "other names are not manifests",
			before: map[string]string{".hidden.yaml": namespace("a", "1"), "notes.txt": namespace("b", "1"), "c.yaml.swp": "x"},
			want:   map[string]string{},
		},
		{
			name:   "a deleted file is deleted objects",
			before: map[string]string{"x.yaml": namespace("a", "1"), "y.yml": namespace("b", "1")},
			after:  map[string]string{"x.yaml": ""},
			want:   map[string]string{"b": "1"},
		},
		{
			name:   "a deleted document is a deleted object",
			before: map[string]string{"x.yaml": namespace("a", "1") + "---\n" + namespace("b", "1")},
			after:  map[string]string{"x.yaml": namespace("b", "1")},
			want:   map[string]string{"b": "1"},
		},
		{
			name:     "a broken object keeps its last good version, others go on",
			before:   map[string]string{"x.yaml": namespace("a", "1") + "---\n" + namespace("b", "1") + "---\n" + namespace("c", "1")},
			after:    map[string]string{"x.yaml": broken + "---\n" + namespace("b", "2")},
			want:     map[string]string{"a": "1", "b": "2"},
			problems: []string{"x.yaml: documents[0]: metadata.labels: "},
		},
		{
			name:     "a broken document without a name may be any object of its file",
			before:   map[string]string{"x.yaml": namespace("a", "1") + "---\n" + namespace("b", "1")},
			after:    map[string]string{"x.yaml": "{ broken\n---\n" + namespace("b", "2")},
			want:     map[string]string{"a": "1", "b": "2"},
			problems: []string{"x.yaml: documents[0]: cannot parse"},
		},
		{
			name:     "a file that is no text",
			before:   map[string]string{"x.yaml": namespace("a", "1")},
			after:    map[string]string{"x.yaml": "\xff\xfe"},
			want:     map[string]string{"a": "1"},
			problems: []string{"x.yaml: cannot parse"},
		},
		{
			name:     "broken from the start",
			before:   map[string]string{"x.yaml": broken, "y.yaml": namespace("b", "1")},
			want:     map[string]string{"b": "1"},
			problems: []string{"x.yaml: documents[0]: metadata.labels"},
		},
		{
			name:     "the same object in two files",
			before:   map[string]string{"y.yaml": namespace("a", "2"), "x.yaml": namespace("a", "1")},
			want:     map[string]string{"a": "1"},
			problems: []string{"y.yaml: documents[0]: metadata.name: Namespace/-/a is refused: it stands in x.yaml"},
		},
		{
			name:   "the second takes over when the first goes",
			before: map[string]string{"y.yaml": namespace("a", "2"), "x.yaml": namespace("a", "1")},
			after:  map[string]string{"x.yaml": ""},
			want:   map[string]string{"a": "2"},
		},
		{
			name:     "the same object twice in a file",
			before:   map[string]string{"x.yaml": namespace("a", "1") + "---\n" + namespace("a", "2")},
			want:     map[string]string{"a": "1"},
			problems: []string{"x.yaml: documents[1]: metadata.name: "},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range tt.before {
				mustWrite(t, dir, name, content)
			}
			s := mustNew(t, dir, t.TempDir())
			for name, content := range tt.after {
				if content == "" {
					if err := os.Remove(filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
					continue
				}
				mustWrite(t, dir, name, content)
			}
			rescan(s)
			wantTeams(t, s, tt.want)
			wantProblems(t, s, tt.problems...)
		})
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, "x.yaml", namespace("a", "1"))
	mustWrite(t, dir, "y.yaml", namespace("b", "1"))
	s := mustNew(t, dir, t.TempDir())
	if err := os.Remove(filepath.Join(dir, "x.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x.yaml", filepath.Join(dir, "x.yaml")); err != nil { // ELOOP
		t.Fatal(err)
	}
	rescan(s)
	wantTeams(t, s, map[string]string{"a": "1", "b": "1"})
	wantProblems(t, s, "x.yaml: ")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	rescan(s)
	wantTeams(t, s, map[string]string{"a": "1", "b": "1"})
	wantProblems(t, s, dir, "x.yaml: ")
}

func TestRestartKeepsLastGood(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	mustWrite(t, dir, "x.yaml", namespace("a", "1"))
	mustWrite(t, dir, "y.yaml", namespace("b", "1"))
	mustNew(t, dir, state)
	mustWrite(t, dir, "x.yaml", "{ broken")
	s := mustNew(t, dir, state)
	wantTeams(t, s, map[string]string{"a": "1", "b": "1"})
	wantProblems(t, s, "x.yaml: documents[0]")

	if err := os.Remove(filepath.Join(dir, "x.yaml")); err != nil {
		t.Fatal(err)
	}
	wantTeams(t, mustNew(t, dir, state), map[string]string{"b": "1"})

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wantTeams(t, mustNew(t, dir, state), map[string]string{"b": "1"})
	wantTeams(t, mustNew(t, t.TempDir(), state), map[string]string{}) // another folder
}

func TestPutSurvivesRestart(t *testing.T) {
	state := t.TempDir()
	s := mustNew(t, "", state)
	mustPut(t, s, namespace("a", "1"))
	mustPut(t, s, namespace("b", "1"))
	mustPut(t, s, namespace("a", "2"))
	change, err := s.Delete(ref("b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := change.Commit(); err != nil {
		t.Fatal(err)
	}
	change.Rollback()
	wantTeams(t, mustNew(t, "", state), map[string]string{"a": "2"})
	if _, err := s.Delete(ref("b")); !errors.Is(err, ErrNotFound) {
		t.Errorf("second delete: %v, want ErrNotFound", err)
	}
}

func TestRollbackChangesNothing(t *testing.T) {
	state := t.TempDir()
	s := mustNew(t, "", state)
	mustPut(t, s, namespace("a", "1"))
	put, err := s.Put(mustParse(t, namespace("a", "2")))
	if err != nil {
		t.Fatal(err)
	}
	if got := put.Cluster().Namespaces["a"].Labels["team"]; got != "2" {
		t.Errorf("staged cluster has team %q, want 2", got)
	}
	wantTeams(t, s, map[string]string{"a": "1"})
	put.Rollback()
	put.Rollback()
	del, err := s.Delete(ref("a"))
	if err != nil {
		t.Fatal(err)
	}
	del.Rollback()
	wantTeams(t, s, map[string]string{"a": "1"})
	wantTeams(t, mustNew(t, "", state), map[string]string{"a": "1"})
}

func TestDamagedState(t *testing.T) {
	state := t.TempDir()
	s := mustNew(t, "", state)
	mustPut(t, s, namespace("a", "1"))
	mustWrite(t, s.objectsDir(), "broken.json", "{")
	mustWrite(t, s.objectsDir(), "misnamed.json", string(mustParse(t, namespace("b", "1")).JSON))
	mustWrite(t, s.objectsDir(), "left.json.tmp", "{")
	s = mustNew(t, "", state)
	wantTeams(t, s, map[string]string{"a": "1"})
	wantProblems(t, s, "broken.json", "misnamed.json")
	if _, err := os.Stat(filepath.Join(s.objectsDir(), "left.json.tmp")); err == nil {
		t.Error("the staged file of a dead agent is still there")
	}
}

func TestOwnership(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, "x.yaml", namespace("a", "manifest"))
	s := mustNew(t, dir, t.TempDir())
	if _, err := s.Put(mustParse(t, namespace("a", "put"))); !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), "x.yaml") {
		t.Errorf("PUT of a manifest's object: %v, want ErrManifest that names x.yaml", err)
	}
	if _, err := s.Delete(ref("a")); !errors.Is(err, ErrManifest) {
		t.Errorf("DELETE of a manifest's object: %v, want ErrManifest", err)
	}

	mustPut(t, s, namespace("b", "put"))
	mustWrite(t, dir, "y.yaml", namespace("b", "manifest"))
	rescan(s)
	wantTeams(t, s, map[string]string{"a": "manifest", "b": "put"})
	wantProblems(t, s, "y.yaml: documents[0]: metadata.name: Namespace/-/b is refused: it was applied")
	change, err := s.Delete(ref("b"))
	if err != nil {
		t.Fatal(err)
	}
	defer change.Rollback()
	if err := change.Commit(); err != nil {
		t.Fatal(err)
	}
	wantTeams(t, s, map[string]string{"a": "manifest", "b": "manifest"})
	wantProblems(t, s)
}

func TestListAndGet(t *testing.T) {
	s := mustNew(t, "", t.TempDir())
	pod := func(ns, name string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {namespace: " + ns + ", name: " + name + "}\n"
	}
	for _, doc := range []string{pod("b", "x"), pod("a", "z"), pod("a", "x"), namespace("a", "1")} {
		mustPut(t, s, doc)
	}
	names := func(namespace string) []string {
		var list []string
		for _, o := range s.List(policy.KindPod, namespace) {
			list = append(list, o.Ref.Namespace+"/"+o.Ref.Name)
		}
		return list
	}
	if got, want := names(""), []string{"a/x", "a/z", "b/x"}; !slices.Equal(got, want) {
		t.Errorf("all pods = %v, want %v", got, want)
	}
	if got, want := names("a"), []string{"a/x", "a/z"}; !slices.Equal(got, want) {
		t.Errorf("pods of a = %v, want %v", got, want)
	}
	if _, err := s.Get(ref("a")); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ref("z")); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of nothing: %v, want ErrNotFound", err)
	}
}
