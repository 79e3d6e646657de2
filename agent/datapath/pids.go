// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// initPIDs is the inode of the machine's own pid namespace (PROC_PID_INIT_INO of
// include/linux/proc_ns.h).
const initPIDs = 0xEFFFFFFC

var errOtherPIDs = errors.New("the agent is in another pid namespace than the machine's (in a pod: set hostPID): it would take every process for gone")

// ownPIDs says why the kernel's process ids are not ours: the task iterator and kill see
// one pid namespace only, records are by the machine's.
func ownPIDs() error {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return fmt.Errorf("find the agent's pid namespace: %w", err)
	}
	if st.Ino != initPIDs {
		return errOtherPIDs
	}
	return nil
}
