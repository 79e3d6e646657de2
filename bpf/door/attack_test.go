// SPDX-License-Identifier: Apache-2.0

package door

import (
	"testing"

	"github.com/sluice-io/sluice/bpf/state"
)

// TestDeniedConnectionStaysDenied: the peer's frames of a connection that was denied
// do not begin one of their own, though ingress is open.
func TestDeniedConnectionStaysDenied(t *testing.T) {
	f := newFixture(t, Config{})
	must(t, f.s.Rulesets.Put(uint32(22), state.RawRuleset{Active: [8]uint8{5: 1}})) // egress alone
	f.use(22)
	ask := syn(pod4, stranger, 1000, 80)
	f.want("SYN", f.leave(ask), false)
	answer := ask.Reverse()
	answer.ACK = true
	answer.Payload = []byte("data")
	f.want("data of the peer", f.enter(answer), false)
	data := ask
	data.SYN, data.ACK = false, true
	f.want("data of the pod", f.leave(data), false)
	own := syn(stranger, pod4, 80, 1000)
	f.want("a connection of the peer's own", f.enter(own), true)
}
