// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// DNAT sends what pods of the node dial at one address and port to another, as
// kube-proxy does for a Service: by iptables or nft, in the node's own namespace.
type DNAT struct {
	Protocol   string // tcp or udp
	From, To   netip.AddrPort
	Masquerade bool // hide the client behind the node's address
	NFT        bool // by nft; else by iptables
}

// AddDNAT puts a rule in force.
func (n *Node) AddDNAT(ctx context.Context, d DNAT) error {
	for _, cmd := range d.commands() {
		if out, err := n.Command(ctx, cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", cmd, err, out)
		}
	}
	return nil
}

func (d *DNAT) commands() [][]string {
	if d.NFT {
		return d.nft()
	}
	tool := "iptables"
	if d.From.Addr().Is6() {
		tool = "ip6tables"
	}
	out := [][]string{{tool, "-w", "-t", "nat", "-A", "PREROUTING", "-p", d.Protocol, "-d", d.From.Addr().String(),
		"--dport", fmt.Sprint(d.From.Port()), "-j", "DNAT", "--to-destination", d.To.String()}}
	if d.Masquerade {
		out = append(out, []string{tool, "-w", "-t", "nat", "-A", "POSTROUTING", "-p", d.Protocol, "-d", d.To.Addr().String(),
			"--dport", fmt.Sprint(d.To.Port()), "-j", "MASQUERADE"})
	}
	return out
}

func (d *DNAT) nft() [][]string {
	family := "ip"
	if d.From.Addr().Is6() {
		family = "ip6"
	}
	out := [][]string{
		{"nft", "add", "table", family, "services"},
		{"nft", "add", "chain", family, "services", "pre", "{ type nat hook prerouting priority dstnat ; }"},
		{"nft", "add", "rule", family, "services", "pre", family, "daddr", d.From.Addr().String(), d.Protocol, "dport",
			fmt.Sprint(d.From.Port()), "dnat", "to", d.To.String()},
	}
	if d.Masquerade {
		out = append(out,
			[]string{"nft", "add", "chain", family, "services", "post", "{ type nat hook postrouting priority srcnat ; }"},
			[]string{"nft", "add", "rule", family, "services", "post", family, "daddr", d.To.Addr().String(), d.Protocol, "dport",
				fmt.Sprint(d.To.Port()), "masquerade"})
	}
	return out
}

// Sysctl sets one of the node's own network namespace.
func (n *Node) Sysctl(name, value string) error {
	return n.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0) })
}

// Forget removes what iptables says of DNAT and what connection tracking knows, as
// kube-proxy does when the backends of a UDP Service change.
func (n *Node) Forget(ctx context.Context) error {
	for _, tool := range []string{"iptables", "ip6tables"} {
		if out, err := n.Command(ctx, tool, "-w", "-t", "nat", "-F").CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", tool, err, out)
		}
	}
	return n.Do(func() error {
		if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
			return fmt.Errorf("flush connection tracking: %w", err)
		}
		return nil
	})
}
