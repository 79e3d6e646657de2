// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
)

// Capability is a capability's number (capabilities(7)).
type Capability uint8

// capabilityNames are those of linux/capability.h, by number.
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// NumCapabilities is how many the kernel has, so far: their numbers are below it.
const NumCapabilities = Capability(len(capabilityNames))

// ParseCapability reads a name without CAP_, as in NET_RAW.
func ParseCapability(name string) (Capability, bool) {
	i := slices.Index(capabilityNames[:], name)
	return Capability(max(i, 0)), i >= 0
}

// String is the name without CAP_, or the number of one that has none here.
func (c Capability) String() string {
	if c < NumCapabilities {
		return capabilityNames[c]
	}
	return fmt.Sprintf("CAPABILITY_%d", uint8(c))
}

// CapabilitySet has bit n set for the capability with number n.
type CapabilitySet uint64

// Has says whether a capability is in the set.
func (s CapabilitySet) Has(c Capability) bool { return s>>c&1 != 0 }

// Names are those of the set's capabilities, by number.
func (s CapabilitySet) Names() []string {
	var out []string
	for c := range Capability(64) {
		if s.Has(c) {
			out = append(out, c.String())
		}
	}
	return out
}
