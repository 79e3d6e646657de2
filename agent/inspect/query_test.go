// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"net/netip"
	"testing"

	"github.com/sluice-io/sluice/policy"
)

func TestParseEnd(t *testing.T) {
	for s, want := range map[string]End{
		"10.0.0.1":                 {Addr: netip.MustParseAddr("10.0.0.1")},
		"::ffff:10.0.0.1":          {Addr: netip.MustParseAddr("10.0.0.1")},
		"fd00::1":                  {Addr: netip.MustParseAddr("fd00::1")},
		"shop/web.1":               {Pod: policy.PodKey{Namespace: "shop", Name: "web.1"}},
		"service/web":              {Pod: policy.PodKey{Namespace: "service", Name: "web"}},
		"service/shop/web":         {Service: policy.ObjectKey{Namespace: "shop", Name: "web"}},
		"":                         {},
		"web":                      {},
		"/web":                     {},
		"shop/":                    {},
		"shop/a/b":                 {},
		"service/shop/":            {},
		"Shop/web":                 {},
		"fe80::1%eth0":             {},
		"10.0.0.0/8":               {},
		"service/shop/web/another": {},
	} {
		got, err := ParseEnd(s)
		if got != want || (err != nil) != (want == End{}) {
			t.Errorf("%q is %+v, %v; want %+v", s, got, err, want)
		}
	}
}

func TestParsePort(t *testing.T) {
	for s, want := range map[string]Port{
		"443": {Protocol: policy.TCP, Number: 443}, "53/udp": {Protocol: policy.UDP, Number: 53},
		"9/SCTP": {Protocol: policy.SCTP, Number: 9}, "http": {Name: "http"},
		"dns/UDP": {Protocol: policy.UDP, Name: "dns"}, "icmp": {Protocol: policy.ICMP}, "ICMPv6": {Protocol: policy.ICMP},
		"": {}, "0": {}, "65536": {}, "-1": {}, "80/": {}, "80/ICMP": {}, "/TCP": {}, "a_b": {},
	} {
		got, err := ParsePort(s)
		if got != want || (err != nil) != (want == Port{}) {
			t.Errorf("%q is %+v, %v; want %+v", s, got, err, want)
		}
	}
}
