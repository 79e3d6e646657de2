// SPDX-License-Identifier: Apache-2.0

package capability

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// askers are the functions of the kernel that ask for a capability with audit
// (kernel/capability.c, net/core/sock.c, net/netlink/af_netlink.c). What asks without,
// in passing, has functions of its own or calls the security module itself.
var askers = []string{
	"capable", "ns_capable", "ns_capable_setid", "file_ns_capable", "capable_wrt_inode_uidgid",
	"sk_capable", "sk_ns_capable", "sk_net_capable",
	"netlink_capable", "netlink_ns_capable", "__netlink_ns_capable", "netlink_net_capable",
}

// findAskers says where the askers lie in the running kernel. One that is inlined
// everywhere has no place; its callers' questions then count as asked in passing.
func findAskers() ([]capabilitySpan, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil, fmt.Errorf("read kernel symbols: %w", err)
	}
	defer f.Close()
	spans, err := askersIn(f)
	if err != nil {
		return nil, fmt.Errorf("read kernel symbols: %w", err)
	}
	return spans, nil
}

// askersIn reads a list of symbols, as proc(5) describes /proc/kallsyms. A function ends
// where the next symbol begins.
func askersIn(r io.Reader) ([]capabilitySpan, error) {
	var starts []uint64
	var places []uint64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 { // of a module
			continue
		}
		at, err := strconv.ParseUint(fields[0], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("symbol %s: %w", fields[2], err)
		}
		places = append(places, at)
		if at != 0 && slices.Contains(askers, fields[2]) {
			starts = append(starts, at)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	slices.Sort(places)
	places = slices.Compact(places)
	var out []capabilitySpan
	for _, from := range starts {
		if i, _ := slices.BinarySearch(places, from); i+1 < len(places) {
			out = append(out, capabilitySpan{From: from, To: places[i+1]})
		}
	}
	return out, nil
}
