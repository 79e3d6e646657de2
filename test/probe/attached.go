// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attached is how many programs are on a hook of an interface.
func attached(index, hook uint32) (uint32, error) {
	query := struct { // of union bpf_attr
		target, hook, query, attach uint32
		programs                    uint64
		count, _                    uint32
		flags, links, linkFlags     uint64
		revision                    uint64
	}{target: index, hook: hook}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&query)), unsafe.Sizeof(query))
	runtime.KeepAlive(&query)
	if errno != 0 {
		return 0, errno
	}
	return query.count, nil
}

// lookAtQueues prints the queueing disciplines and what programs of XDP there are.
func lookAtQueues() {
	links, err := netlink.LinkList()
	see("links", len(links), err)
	for _, l := range links {
		a := l.Attrs()
		see("link "+a.Name, fmt.Sprint(l.Type(), a.Xdp, a.TxQLen, a.Group, a.Alias, a.Promisc), nil)
		list, err := netlink.QdiscList(l)
		see("queues of "+a.Name, len(list), err)
		for _, q := range list {
			see("queue of "+a.Name, q.Type(), nil)
		}
	}
}
