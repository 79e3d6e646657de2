// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
)

// ErrNoInterface says that a pod's interface is gone.
var ErrNoInterface = errors.New("the interface is gone")

// callIPTables are the switches by which bridged frames pass netfilter, of the
// caller's network namespace.
var callIPTables = [...]string{"/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"}

// Undeferred tells why flows of the pod behind an interface cannot be judged after
// DNAT; nil: they can.
func (d *Datapath) Undeferred(ifindex int) error {
	if d.noNat != nil {
		return fmt.Errorf("no point after DNAT: %w", d.noNat)
	}
	l, err := netlink.LinkByIndex(ifindex)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return ErrNoInterface
	}
	if err != nil {
		return fmt.Errorf("find interface %d: %w", ifindex, err)
	}
	if l.Attrs().MasterIndex == 0 {
		return nil // routed
	}
	master, err := netlink.LinkByIndex(l.Attrs().MasterIndex)
	if err != nil {
		return fmt.Errorf("find master of interface %d: %w", ifindex, err)
	}
	switch master.Type() {
	case "vrf":
		return nil // routed too
	case "bridge":
	default:
		return fmt.Errorf("interface %s is a port of %s, which is no Linux bridge but %s: its frames may pass no netfilter",
			l.Attrs().Name, master.Attrs().Name, master.Type())
	}
	for _, path := range callIPTables {
		b, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(b)) != "1" {
			return fmt.Errorf("interface %s is a bridge port, and bridged frames pass no netfilter: load br_netfilter and set %s to 1",
				l.Attrs().Name, strings.ReplaceAll(strings.TrimPrefix(path, "/proc/sys/"), "/", "."))
		}
	}
	return nil
}

// NodeAddrs are this node's own addresses, but for loopback.
func NodeAddrs() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses of the node: %w", err)
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			out = append(out, p.Addr().Unmap().WithZone(""))
		}
	}
	return out, nil
}
