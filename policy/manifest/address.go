// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
)

// address appends a unicast address to the list, unless it is there.
func (c *checker) address(list []netip.Addr, p *field.Path, value string) []netip.Addr {
	ip, err := netip.ParseAddr(value)
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() {
		c.add(p, value, "not a unicast address; write an IPv4 or IPv6 address such as 10.0.0.1 or fd00::1")
		return list
	}
	if ip = ip.Unmap(); slices.Contains(list, ip) {
		return list
	}
	return append(list, ip)
}

// cidr masks off the bits below the mask: the API tolerates them.
func (c *checker) cidr(p *field.Path, s string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		c.add(p, s, "not a CIDR; write one such as 10.0.0.0/8 or fd00::/8")
		return netip.Prefix{}, false
	}
	if prefix.Addr().Is4In6() {
		c.add(p, s, "an IPv4-mapped address; write the IPv4 CIDR")
		return netip.Prefix{}, false
	}
	return prefix.Masked(), true
}

// ipBlock returns nil for nil.
func (c *checker) ipBlock(p *field.Path, in *networkingv1.IPBlock) *policy.IPBlock {
	if in == nil {
		return nil
	}
	cidr, valid := c.cidr(p.Child("cidr"), in.CIDR)
	out := &policy.IPBlock{CIDR: cidr}
	for i, s := range in.Except {
		at := p.Child("except").Index(i)
		except, ok := c.cidr(at, s)
		if ok && valid && (!cidr.Contains(except.Addr()) || except.Bits() <= cidr.Bits()) {
			c.add(at, s, "not within cidr and smaller than it; write a part of "+cidr.String())
		}
		out.Except = append(out.Except, except)
	}
	return out
}
