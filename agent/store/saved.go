// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluice-io/sluice/policy/manifest"
)

// saved is a copy of the objects of one manifest. It stands in for a manifest
// that became unreadable or broken while the agent was away: a restart must not
// take a policy out of force.
type saved struct {
	Path    string            `json:"path"`
	Objects []json.RawMessage `json:"objects"`
}

func (s *Store) savedDir() string { return filepath.Join(s.cfg.StateDir, "last-good") }

func (s *Store) savedPath(name string) string {
	return filepath.Join(s.savedDir(), hashName(filepath.Join(s.cfg.Manifests, name)))
}

// loadSaved fills the folder as it was last known, and removes copies of another
// folder's manifests. A copy that was cut short is written anew by save.
func (s *Store) loadSaved() error {
	s.saved = make(map[string]*file)
	entries, err := os.ReadDir(s.savedDir())
	if err != nil {
		return fmt.Errorf("list saved manifests: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(s.savedDir(), e.Name())
		c, ok := readSaved(path)
		switch {
		case !ok:
		case s.cfg.Manifests == "" || filepath.Dir(c.Path) != s.cfg.Manifests:
			_ = os.Remove(path) // tried again at the next start
		default:
			f := c.file()
			s.saved[f.name] = f
			s.folder.files = append(s.folder.files, f)
		}
	}
	slices.SortFunc(s.folder.files, func(a, b *file) int { return cmp.Compare(a.name, b.name) })
	return nil
}

// readSaved is false for what is not a whole copy.
func readSaved(path string) (saved, bool) {
	var c saved
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &c) != nil || hashName(c.Path) != filepath.Base(path) {
		return saved{}, false
	}
	return c, true
}

func (c *saved) file() *file {
	f := &file{name: filepath.Base(c.Path)}
	for _, raw := range c.Objects {
		// An object that this version no longer reads is named by its manifest.
		if obj, err := manifest.Parse(raw); err == nil {
			f.objects = append(f.objects, document{obj, ""})
		}
	}
	return f
}

// save brings the copies up to date with the folder. They are not synced: after
// a power cut there is nothing in force that they could keep.
func (s *Store) save() {
	gone := maps.Clone(s.saved)
	for _, f := range s.folder.files {
		delete(gone, f.name)
		if old := s.saved[f.name]; old != nil && sameDocuments(old, f) {
			continue
		}
		if err := s.write(f); err != nil {
			s.folder.problems = append(s.folder.problems, problemsOf(f.name, "", err)...)
			continue
		}
		s.saved[f.name] = f
	}
	for name := range gone {
		if err := os.Remove(s.savedPath(name)); err == nil || errors.Is(err, fs.ErrNotExist) {
			delete(s.saved, name)
		}
	}
}

func sameDocuments(a, b *file) bool {
	return a == b || slices.EqualFunc(a.objects, b.objects, func(x, y document) bool {
		return x.Object == y.Object || bytes.Equal(x.JSON, y.JSON)
	})
}

func (s *Store) write(f *file) error {
	c := saved{Path: filepath.Join(s.cfg.Manifests, f.name)}
	for _, o := range f.objects {
		c.Objects = append(c.Objects, o.JSON)
	}
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("save manifest: %w", err)
	}
	path := s.savedPath(f.name)
	if err := os.WriteFile(path+stagedSuffix, data, 0o600); err != nil {
		return fmt.Errorf("save manifest: %w", err)
	}
	if err := os.Rename(path+stagedSuffix, path); err != nil {
		return fmt.Errorf("save manifest: %w", err)
	}
	return nil
}
