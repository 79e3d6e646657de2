// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"net"
	"time"
)

func deadline() time.Time { return time.Now().Add(defaultTimeout()) }

// datagram is an IPv4 packet with a UDP datagram, without UDP checksum.
func datagram(from, to *net.UDPAddr) []byte {
	const payload = "probe"
	b := make([]byte, 28, 28+len(payload))
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
	copy(b[12:], from.IP.To4())
	copy(b[16:], to.IP.To4())
	binary.BigEndian.PutUint16(b[10:], checksum(b[:20]))
	binary.BigEndian.PutUint16(b[20:], uint16(from.Port))
	binary.BigEndian.PutUint16(b[22:], uint16(to.Port))
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	return append(b, payload...)
}
