// SPDX-License-Identifier: Apache-2.0

// Package store keeps the objects that the agent obeys: those of a watched
// folder of manifests and those that were PUT over the API.
//
// What is broken never takes away what is in force: an unreadable folder changes
// nothing, a broken document keeps the last good version of its object, also
// over a restart of the agent, and each is reported as a Problem.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

// ErrNotFound is wrapped by errors about an object that does not exist.
var ErrNotFound = errors.New("no such object")

// ErrManifest is wrapped by errors about an object that a manifest owns: it
// cannot be changed over the API.
var ErrManifest = errors.New("the object comes from a manifest")

// Config says where objects come from.
type Config struct {
	Manifests string        // watched folder; empty: none
	StateDir  string        // objects that were PUT are kept below it
	Debounce  time.Duration // quiet time after a change in the folder; 0: 20 ms
	Log       *slog.Logger  // told of each problem once, and of its end; nil: nobody is
}

// Problem is one thing that keeps an object from being in force.
type Problem struct {
	File     string // base name of the manifest, or path of what cannot be read
	Document string // as in "documents[1].items[0]"; empty for the whole file
	Field    string // as in "spec.egress[0].ports[1].port"; may be empty
	Reason   string
}

// String puts the parts that are known on one line.
func (p Problem) String() string {
	parts := slices.DeleteFunc([]string{p.File, p.Document, p.Field, p.Reason},
		func(s string) bool { return s == "" })
	return strings.Join(parts, ": ")
}

// Store holds the objects. Its methods may be called from any goroutine.
type Store struct {
	cfg  Config
	view atomic.Pointer[view]

	// change is held from the start of a change to its end, so that changes are
	// one after the other. It guards what follows.
	change sync.Mutex
	puts   map[policy.Ref]*manifest.Object
	folder folder
	saved  map[string]*file // as last copied to the state folder, by name
	broken []Problem        // objects that were PUT and cannot be read back
}

// New reads the objects that were PUT earlier and the folder of manifests.
func New(cfg Config) (*Store, error) {
	if cfg.Debounce == 0 {
		cfg.Debounce = 20 * time.Millisecond
	}
	if cfg.Manifests != "" {
		abs, err := filepath.Abs(cfg.Manifests)
		if err != nil {
			return nil, fmt.Errorf("find manifests folder: %w", err)
		}
		cfg.Manifests = abs
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{cfg: cfg}
	for _, dir := range []string{s.objectsDir(), s.savedDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make state folder: %w", err)
		}
	}
	if err := s.loadObjects(); err != nil {
		return nil, err
	}
	if err := s.loadSaved(); err != nil {
		return nil, err
	}
	if cfg.Manifests != "" {
		s.folder = s.scan(s.folder)
		s.save()
	}
	s.publish(s.resolve(s.puts))
	return s, nil
}

// publish makes v what readers see, and tells what has become wrong or right.
func (s *Store) publish(v *view) {
	var before []Problem
	if old := s.view.Swap(v); old != nil {
		before = old.problems
	}
	for _, p := range v.problems {
		if !slices.Contains(before, p) {
			s.cfg.Log.Warn("not in force", "problem", p.String())
		}
	}
	for _, p := range before {
		if !slices.Contains(v.problems, p) {
			s.cfg.Log.Info("cured", "problem", p.String())
		}
	}
}

// Cluster returns a snapshot of the objects in force.
func (s *Store) Cluster() *policy.Cluster { return s.view.Load().cluster() }

// Get returns one object in force. Its error wraps ErrNotFound.
func (s *Store) Get(ref policy.Ref) (*manifest.Object, error) {
	o, ok := s.view.Load().object(ref)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, ref)
	}
	return o.Object, nil
}

// List returns the objects of a kind in order of their names. An empty
// namespace stands for all of them.
func (s *Store) List(kind policy.Kind, namespace string) []*manifest.Object {
	var list []*manifest.Object
	for o := range s.view.Load().objects() {
		if o.Ref.Kind == kind && (namespace == "" || o.Ref.Namespace == namespace) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *manifest.Object) int { return a.Ref.Compare(b.Ref) })
	return list
}

// Problems returns what a person should repair, in order of the file names.
func (s *Store) Problems() []Problem { return slices.Clone(s.view.Load().problems) }
