// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"syscall"
)

// The kernel's maps hold addresses and flow ports in network order, whatever the
// order of the host's words; sluice is built for little-endian hosts only.
func hostOrder(b []byte) uint32       { return binary.NativeEndian.Uint32(b) }
func putHostOrder(b []byte, v uint32) { binary.NativeEndian.PutUint32(b, v) }

// Port is a network-order port of a RawFlowKey in host order.
func Port(be uint16) uint16 { return bits.ReverseBytes16(be) }

// IsFull is true for the errors of a map that has no room: hash tables say E2BIG,
// tries ENOSPC.
func IsFull(err error) bool { return errors.Is(err, syscall.E2BIG) || errors.Is(err, syscall.ENOSPC) }
