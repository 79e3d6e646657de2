// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
)

func TestPortKeys(t *testing.T) {
	tcp := func(numbers ...uint16) policy.Port {
		return policy.Port{Protocol: policy.TCP, Number: numbers[0], End: append(numbers, 0)[1]}
	}
	for _, tt := range []struct {
		ports []policy.Port
		keys  int
		probe map[uint16]bool // TCP ports in and out
	}{
		{[]policy.Port{tcp(80)}, 1, map[uint16]bool{80: true, 79: false, 81: false}},
		{[]policy.Port{tcp(0)}, 1, map[uint16]bool{0: true, 65535: true}},
		{[]policy.Port{tcp(1, 65535)}, 16, map[uint16]bool{0: false, 1: true, 65535: true}},
		{[]policy.Port{tcp(1, 65534)}, 30, map[uint16]bool{0: false, 1: true, 65534: true, 65535: false}},
		{[]policy.Port{tcp(80), tcp(81), tcp(80)}, 1, map[uint16]bool{79: false, 80: true, 81: true, 82: false}},
		{[]policy.Port{tcp(100, 200), tcp(150, 300), tcp(120, 130)}, 8, map[uint16]bool{99: false, 300: true, 301: false}},
		{[]policy.Port{{Protocol: policy.UDP, Number: 80}, tcp(65535)}, 2, map[uint16]bool{80: false, 65535: true}},
		{[]policy.Port{tcp(80), {}, tcp(81)}, 1, map[uint16]bool{0: true, 65535: true}},
		{nil, 0, map[uint16]bool{0: false, 80: false}},
	} {
		keys := portKeys(tt.ports)
		got := map[uint16]bool{}
		for port := range tt.probe {
			got[port] = slices.ContainsFunc(keys, func(k PortKey) bool {
				return k.Protocol == 0 || k.Protocol == policy.TCP && port>>(16-k.Bits)<<(16-k.Bits) == k.Port
			})
		}
		if diff := cmp.Diff(tt.probe, got); diff != "" || len(keys) != tt.keys {
			t.Errorf("%v: %d keys %v; want %d; -want +covered:\n%s", tt.ports, len(keys), keys, tt.keys, diff)
		}
	}
}
