// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ends is what the kernel knows of a pod's interface.
type ends struct {
	host   netlink.Link // this side of the veth
	mac    string       // of the pod's side
	cookie uint64       // of the pod's network namespace
	nsid   int32        // the same, as this namespace knows it
}

// findEnds looks from inside the pod: the kernel names the peer of a veth, so the
// names in prevResult, which a plugin may leave out, are not needed.
func findEnds(netnsPath, ifName string) (ends, error) {
	pod, err := ns.GetNS(netnsPath)
	if err != nil {
		return ends{}, types.NewError(types.ErrInvalidNetNS, "open network namespace: "+err.Error(), "")
	}
	defer pod.Close()
	var e ends
	var inside netlink.Link
	err = pod.Do(func(ns.NetNS) (err error) {
		if e.cookie, err = netnsCookie(); err != nil {
			return err
		}
		if inside, err = netlink.LinkByName(ifName); err != nil {
			return invalid("interface %s in the pod: %v", ifName, err)
		}
		return nil
	})
	if err != nil {
		return ends{}, err
	}
	if inside.Type() != "veth" {
		return ends{}, invalid("interface %s has no host-side interface: it is %s", ifName, kind(inside))
	}
	e.host, err = netlink.LinkByIndex(inside.Attrs().ParentIndex)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return ends{}, invalid("interface %s has no host-side interface here: its peer is elsewhere", ifName)
	}
	if err != nil {
		return ends{}, fmt.Errorf("find host-side interface: %w", err)
	}
	// The index might be that of another interface, if the peer is elsewhere.
	id, err := netlink.GetNetNsIdByFd(int(pod.Fd()))
	if err != nil {
		return ends{}, fmt.Errorf("read id of network namespace: %w", err)
	}
	if at := e.host.Attrs(); e.host.Type() != "veth" || at.ParentIndex != inside.Attrs().Index || at.NetNsID != id {
		return ends{}, invalid("interface %s has no host-side interface here: its peer is elsewhere", ifName)
	}
	e.mac, e.nsid = inside.Attrs().HardwareAddr.String(), int32(id)
	return e, nil
}

// kind names an interface that has no side on the host.
func kind(l netlink.Link) string {
	if l.Attrs().Flags&net.FlagLoopback != 0 {
		return "the loopback interface"
	}
	if l.Type() == "device" {
		return "a device of its own (SR-IOV or host-device)"
	}
	return l.Type()
}

// netnsCookie is the cookie of the calling thread's network namespace.
func netnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("make socket: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("read cookie of network namespace: %w", err)
	}
	return cookie, nil
}

// addresses are those of the pod's interface, or all, where prevResult does not
// say whose they are.
func addresses(prev *types100.Result, ifName string) []netip.Addr {
	var own, all []netip.Addr
	for _, ip := range prev.IPs {
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if !ok {
			continue
		}
		all = append(all, a.Unmap())
		if i := ip.Interface; i != nil && *i >= 0 && *i < len(prev.Interfaces) &&
			prev.Interfaces[*i].Name == ifName && prev.Interfaces[*i].Sandbox != "" {
			own = append(own, a.Unmap())
		}
	}
	if own != nil {
		return own
	}
	return all
}
