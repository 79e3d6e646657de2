// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	maxDelay   = 10 // of Debounce: a folder that never rests is read all the same
	retryDelay = time.Second
)

// Run follows the folder of manifests until ctx ends. It calls changed when
// Cluster gives something new; every other change waits until changed returns,
// so changed must not make one.
func (s *Store) Run(ctx context.Context, changed func()) error {
	if s.cfg.Manifests == "" {
		<-ctx.Done()
		return nil
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch manifests: %w", err)
	}
	defer w.Close()
	return s.follow(ctx, w, changed)
}

func (s *Store) follow(ctx context.Context, w *fsnotify.Watcher, changed func()) error {
	// due fires when the folder should be read: at once after a watch was set,
	// since something may have happened before.
	due := time.NewTimer(0)
	defer due.Stop()
	watched := w.Add(s.cfg.Manifests) == nil
	var first time.Time // of the changes that have not been read
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due.C:
			first = time.Time{}
			if !watched {
				watched = w.Add(s.cfg.Manifests) == nil
			}
			read := s.rescan(changed)
			if !watched || !read { // what is away may come back unseen
				due.Reset(retryDelay)
			}
			continue
		case event, ok := <-w.Events:
			if !ok {
				return errors.New("watch manifests: the watch ended")
			}
			if event.Name == s.cfg.Manifests && event.Has(fsnotify.Remove|fsnotify.Rename) {
				_ = w.Remove(s.cfg.Manifests) // a renamed folder is another one now
				watched = false
			}
		case _, ok := <-w.Errors: // such as an overflow: something was missed
			if !ok {
				return errors.New("watch manifests: the watch ended")
			}
		}
		if first.IsZero() {
			first = time.Now()
		}
		due.Reset(min(s.cfg.Debounce, max(0, maxDelay*s.cfg.Debounce-time.Since(first))))
	}
}

// rescan is false if something could not be read.
func (s *Store) rescan(changed func()) bool {
	s.change.Lock()
	defer s.change.Unlock()
	s.folder = s.scan(s.folder)
	s.save()
	old, next := s.view.Load(), s.resolve(s.puts)
	s.publish(next)
	if !next.sameObjects(old) {
		changed()
	}
	return !s.folder.unread
}
