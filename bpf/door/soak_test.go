// SPDX-License-Identifier: Apache-2.0

package door

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-io/sluice/bpf/state"
)

// TestSoak sends random frames of few connections, so that ports are used again, the
// quotas are full and time-outs, which are short, end flows all the while. A known
// connection in use is never refused; at last nothing is left, and no quota is held.
// SLUICE_SEED=n repeats the run that printed n.
func TestSoak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		must(t, err)
		seed = n
	}
	t.Logf("SLUICE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	const ttl = 40 * time.Millisecond
	f := newFixture(t, Config{
		HalfOpen: 8, Open: 24, Denied: 8,
		TCPHalf: ttl, TCPOpen: 5 * ttl, TCPClosing: ttl / 2, UDPHalf: ttl, UDPOpen: ttl, Other: ttl, DeniedFor: ttl,
	})
	f.use(restricted)
	live := syn(pod4, friend4, 60000, 80) // a connection that is used all along
	f.want("its SYN", f.leave(live), true)
	data := live
	data.SYN = false
	answer := live.Reverse()
	answer.ACK = true
	f.want("its answer", f.enter(answer), true)
	data.ACK = true
	for i := range 30000 {
		frame := syn(pod4, friend4, 1000+uint16(r.IntN(48)), []uint16{80, 80, 80, 81}[r.IntN(4)])
		if r.IntN(3) == 0 {
			frame = syn(pod6, friend6, 1000+uint16(r.IntN(48)), 80)
		}
		if r.IntN(4) == 0 {
			frame.Protocol, frame.DstPort = udp, 53
		}
		flags := r.IntN(16)
		frame.SYN, frame.ACK, frame.FIN, frame.RST = flags < 5, flags > 2, flags == 8 || flags == 9, flags == 10
		if r.IntN(2) == 0 {
			f.enter(frame.Reverse())
		} else {
			f.leave(frame)
		}
		if i%64 == 0 {
			if !f.leave(data) {
				t.Fatalf("step %d: a frame of a connection in use was refused", i)
			}
		}
	}
	f.idle()
}

// idle waits until every flow has ended, and wants no quota to be held then.
func (f *fixture) idle() {
	f.Helper()
	deadline := time.Now().Add(10 * time.Second)
	var key state.RawFlowKey
	for f.s.Flows.NextKey(nil, &key) == nil {
		if time.Now().After(deadline) {
			f.Fatalf("a flow has not ended: %+v", key)
		}
		time.Sleep(10 * time.Millisecond)
	}
	var c state.RawCount
	must(f, f.s.Counts.Lookup(f.pod.Slot, &c))
	if c.Flows != [3]uint32{} {
		f.Errorf("places in quotas that nobody holds: %v", c.Flows)
	}
}
