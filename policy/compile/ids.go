// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// sum is the hash of a canonical encoding: the name of a content.
type sum [sha256.Size]byte

// UnmarshalText reads a hash in hexadecimal.
func (s *sum) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return fmt.Errorf("read hash: %d characters instead of %d", len(text), hex.EncodedLen(len(s)))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// IDs is the table of ids in use: the same content gets the same id for as long
// as one of the last two Images uses it. Ids grow from FirstID, are shared by all
// kinds of content and never used again for another one. The zero IDs is ready to
// use; as JSON it outlives the process.
type IDs struct {
	next  uint32 // 0: nothing handed out yet
	image uint64 // counts Images
	table map[sum]*usedID
}

// usedID is an id and the last Image that used it.
type usedID struct {
	id    uint32
	image uint64
}

// idsJSON is how IDs are read.
type idsJSON struct {
	Next uint32             `json:"next"`
	IDs  map[sum]usedIDJSON `json:"ids"`
}

type usedIDJSON struct {
	ID     uint32 `json:"id"`
	Unused uint64 `json:"unused"` // Images since the last one that used it
}

// MarshalJSON writes the table.
func (t *IDs) MarshalJSON() ([]byte, error) { return t.AppendJSON(nil), nil }

// AppendJSON appends what MarshalJSON writes: the same for equal tables, and quickly,
// since every change has the table stored.
func (t *IDs) AppendJSON(b []byte) []byte {
	contents := slices.AppendSeq(make([]sum, 0, len(t.table)), maps.Keys(t.table))
	slices.SortFunc(contents, func(x, y sum) int { return bytes.Compare(x[:], y[:]) })
	b = fmt.Appendf(b, `{"next":%d,"ids":{`, max(t.next, FirstID))
	for i, content := range contents {
		if i > 0 {
			b = append(b, ',')
		}
		used := t.table[content]
		b = hex.AppendEncode(append(b, '"'), content[:])
		b = strconv.AppendUint(append(b, `":{"id":`...), uint64(used.id), 10)
		if unused := t.image - used.image; unused > 0 {
			b = strconv.AppendUint(append(b, `,"unused":`...), unused, 10)
		}
		b = append(b, '}')
	}
	return append(b, "}}"...)
}

// UnmarshalJSON reads what MarshalJSON wrote. A table that would hand out an id
// twice is refused and leaves t as it was.
func (t *IDs) UnmarshalJSON(data []byte) error {
	var in idsJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read ids: %w", err)
	}
	if in.Next < FirstID {
		return fmt.Errorf("read ids: next id %d is below %d", in.Next, FirstID)
	}
	const image = 2 // more than Unused may be
	table := make(map[sum]*usedID, len(in.IDs))
	seen := make(map[uint32]bool, len(in.IDs))
	for content, used := range in.IDs {
		if used.ID < FirstID || used.ID >= in.Next || seen[used.ID] {
			return fmt.Errorf("read ids: id %d of %x is out of range or there twice", used.ID, content)
		}
		seen[used.ID] = true
		table[content] = &usedID{used.ID, image - min(used.Unused, image)}
	}
	t.next, t.image, t.table = in.Next, image, table
	return nil
}

// begin starts an Image.
func (t *IDs) begin() {
	if t.table == nil {
		t.table = make(map[sum]*usedID)
	}
	t.next = max(t.next, FirstID)
	t.image++
}

// end forgets what neither the Image begun last nor the one before it uses. It
// fails when there are no more ids.
func (t *IDs) end() error {
	for content, used := range t.table {
		if used.image+1 < t.image {
			delete(t.table, content)
		}
	}
	if t.next == math.MaxUint32 {
		return fmt.Errorf("allocate id: all %d are used up", t.next-FirstID)
	}
	return nil
}

// of gives a content its id for this Image.
func (t *IDs) of(content sum) *usedID {
	used, ok := t.table[content]
	if !ok {
		used = &usedID{id: t.next}
		t.table[content] = used
		if t.next < math.MaxUint32 { // the last one is for end to find
			t.next++
		}
	}
	t.keep(used)
	return used
}

// keep says that this Image uses an id that the one before used.
func (t *IDs) keep(used *usedID) { used.image = t.image }
