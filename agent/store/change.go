// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"maps"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

// Change is a PUT or DELETE that is not yet in force. Until Commit or Rollback
// every other change, of the folder too, waits. The caller must call Rollback;
// after Commit it does nothing.
type Change struct {
	store  *Store
	commit func() error // makes it last
	undo   func()
	puts   map[policy.Ref]*manifest.Object
	view   *view
	done   bool
}

// Put stages an object. The error wraps ErrManifest if a manifest owns it.
func (s *Store) Put(obj *manifest.Object) (*Change, error) {
	s.change.Lock()
	if err := s.checkOwner(obj.Ref); err != nil {
		s.change.Unlock()
		return nil, err
	}
	tmp, err := s.stageObject(obj)
	if err != nil {
		s.change.Unlock()
		return nil, err
	}
	puts := maps.Clone(s.puts)
	puts[obj.Ref] = obj
	return &Change{
		store:  s,
		commit: func() error { return s.keepObject(tmp, obj.Ref) },
		undo:   func() { s.dropStaged(tmp) },
		puts:   puts,
		view:   s.view.Load().with(obj, puts), // what no manifest owns hides nothing
	}, nil
}

// Delete stages the removal of an object that was PUT. The error wraps
// ErrManifest if a manifest owns it, ErrNotFound if there is none.
func (s *Store) Delete(ref policy.Ref) (*Change, error) {
	s.change.Lock()
	err := s.checkOwner(ref)
	if _, ok := s.puts[ref]; err == nil && !ok {
		err = fmt.Errorf("%w: %s", ErrNotFound, ref)
	}
	if err != nil {
		s.change.Unlock()
		return nil, err
	}
	puts := maps.Clone(s.puts)
	delete(puts, ref)
	return &Change{
		store:  s,
		commit: func() error { return s.removeObject(ref) },
		undo:   func() {},
		puts:   puts,
		view:   s.resolve(puts),
	}, nil
}

func (s *Store) checkOwner(ref policy.Ref) error {
	if o, ok := s.view.Load().object(ref); ok && o.file != "" {
		return fmt.Errorf("%w: %s stands in %s; change it there", ErrManifest, ref, o.file)
	}
	return nil
}

// Cluster is the snapshot as it will be once the change is committed.
func (c *Change) Cluster() *policy.Cluster { return c.view.cluster() }

// Commit makes the change last over a restart and visible. After an error the
// change is still staged.
func (c *Change) Commit() error {
	if err := c.commit(); err != nil {
		return err
	}
	c.store.puts = c.puts
	c.store.publish(c.view)
	c.end()
	return nil
}

// Rollback ends the change with nothing changed.
func (c *Change) Rollback() {
	if c.done {
		return
	}
	c.undo()
	c.end()
}

func (c *Change) end() {
	c.done = true
	c.store.change.Unlock()
}
