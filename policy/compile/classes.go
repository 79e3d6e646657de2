// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/binary"
	"slices"
)

// class is a set of entries that some address or prefix is in. The set of none is
// nil, ClassNone.
type class struct {
	key     string
	entries []*entry
	id      *usedID
	users   int // addresses and prefixes
}

// classes are the classes in use.
type classes struct {
	ids   *IDs
	image uint64 // the Image being made
	known map[string]*class
}

// take gives a set of entries, by serial, its class for one more user.
func (c *classes) take(set []*entry) *class {
	if len(set) == 0 {
		return nil
	}
	var key []byte
	for _, e := range set {
		key = binary.NativeEndian.AppendUint32(key, e.serial)
	}
	cl, ok := c.known[string(key)]
	if !ok {
		cl = &class{key: string(key), entries: slices.Clone(set)}
		slices.SortFunc(cl.entries, compareEntries) // serials are this process's
		content := encode(kindClass)
		for _, e := range cl.entries {
			content = append(content, e.sum[:]...)
			e.classes[cl] = struct{}{}
			c.touch(e)
		}
		cl.id = c.ids.of(content.sum())
		c.known[cl.key] = cl
	}
	cl.users++
	return cl
}

// drop takes a user from a class.
func (c *classes) drop(cl *class) {
	if cl == nil {
		return
	}
	cl.users--
	if cl.users > 0 {
		return
	}
	delete(c.known, cl.key)
	for _, e := range cl.entries {
		delete(e.classes, cl)
		c.touch(e)
		if e.of != nil && len(e.classes) == 0 {
			delete(e.of.numbers, e.port)
		}
	}
}

// touch says that the classes of an entry are not what they were.
func (c *classes) touch(e *entry) {
	e.changed = c.image
	if e.of != nil {
		e.of.changed = c.image
	}
}

func (c *class) number() uint32 {
	if c == nil {
		return ClassNone
	}
	return c.id.id
}
