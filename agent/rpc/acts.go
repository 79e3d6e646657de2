// SPDX-License-Identifier: Apache-2.0

package rpc

// ActKey is what acts that a rule does not allow are counted by.
type ActKey struct {
	Pod     PodRef
	Type    string // of the acts, as of their events
	Rule    string // Kind/namespace/name[index]
	Outcome string
}

// ActTotal counts them. Held is how many of them no event tells of.
type ActTotal struct{ Acts, Held uint64 }
