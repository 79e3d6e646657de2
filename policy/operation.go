// SPDX-License-Identifier: Apache-2.0

package policy

import "slices"

// Operations is a set of uses of a file.
type Operations uint16

// The operations; the values are those of the kernel tables.
const (
	OpRead Operations = 1 << iota
	OpWrite
	OpCreate
	OpDelete
	OpRename
	OpLink
	OpChmod
	OpChown
	OpMountOver
	OpMmapExec
	OpTruncate
)

// EveryOperation is all of them.
const EveryOperation = OpTruncate<<1 - 1

// operationNames are in the order of the bits.
var operationNames = [...]string{
	"Read", "Write", "Create", "Delete", "Rename", "Link", "Chmod", "Chown", "MountOver", "MmapExec", "Truncate",
}

// ParseOperation reads the name of one operation.
func ParseOperation(name string) (Operations, bool) {
	i := slices.Index(operationNames[:], name)
	return 1 << max(i, 0), i >= 0
}

// Names are those of the set's operations.
func (o Operations) Names() []string {
	var out []string
	for i, name := range operationNames {
		if o>>i&1 != 0 {
			out = append(out, name)
		}
	}
	return out
}
