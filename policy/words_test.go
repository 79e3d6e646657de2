// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"testing"
)

// TestCapabilityNames: names and numbers are the kernel's, and go both ways.
func TestCapabilityNames(t *testing.T) {
	for name, number := range map[string]Capability{ // linux/capability.h
		"CHOWN": 0, "SETUID": 7, "NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_ADMIN": 21, "MKNOD": 27,
		"SETFCAP": 31, "SYSLOG": 34, "BPF": 39, "CHECKPOINT_RESTORE": 40,
	} {
		if c, ok := ParseCapability(name); !ok || c != number || number.String() != name {
			t.Errorf("%s is %d, %t; %d is %s", name, c, ok, number, number)
		}
	}
	for _, name := range []string{"", "CAP_CHOWN", "net_raw", "CAPABILITY_41"} {
		if c, ok := ParseCapability(name); ok {
			t.Errorf("%q is %s", name, c)
		}
	}
	set := CapabilitySet(1<<13 | 1<<63 | 1)
	if got := set.Names(); !slices.Equal(got, []string{"CHOWN", "NET_RAW", "CAPABILITY_63"}) {
		t.Errorf("Names = %v", got)
	}
	if NumCapabilities != 41 {
		t.Errorf("%d capabilities", NumCapabilities)
	}
}

func TestOperationNames(t *testing.T) {
	all := OpRead | OpWrite | OpCreate | OpDelete | OpRename | OpLink | OpChmod | OpChown | OpMountOver | OpMmapExec | OpTruncate
	var back Operations
	for _, name := range all.Names() {
		o, ok := ParseOperation(name)
		if !ok || !slices.Equal(o.Names(), []string{name}) {
			t.Errorf("%s is %v, %t", name, o.Names(), ok)
		}
		back |= o
	}
	if back != all || len(all.Names()) != 11 {
		t.Errorf("%v come back as %v", all.Names(), back.Names())
	}
	if o, ok := ParseOperation("read"); ok {
		t.Errorf("read is %v", o.Names())
	}
}
