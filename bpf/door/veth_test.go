// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// wire puts the fixture's pod behind the door of a real veth, whose host side has
// an address, and gives what sends a frame from the pod.
func (f *fixture) wire(host netip.Addr) (send func([]byte)) {
	f.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = "host", net.HardwareAddr{2, 0, 0, 0, 0, 2}
	must(f, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "pod", PeerHardwareAddr: bpftest.PodMAC()}))
	var index [2]int
	for i, name := range []string{"host", "pod"} {
		l, err := netlink.LinkByName(name)
		must(f, err)
		must(f, netlink.LinkSetUp(l))
		index[i] = l.Attrs().Index
		if i == 0 {
			a, err := netlink.ParseAddr(netip.PrefixFrom(host, 24).String())
			must(f, err)
			must(f, netlink.AddrAdd(l, a))
		}
	}
	must(f, f.s.Doors.Put(uint32(index[0]), state.RawDoorway{Slot: f.pod.Slot}))
	l, err := link.AttachTCX(link.TCXOptions{Interface: index[0], Program: f.out, Attach: hooks[progOut]})
	must(f, err)
	f.Cleanup(func() { l.Close() })
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	must(f, err)
	f.Cleanup(func() { syscall.Close(fd) })
	return func(b []byte) {
		f.Helper()
		must(f, syscall.Sendto(fd, b, 0, &syscall.SockaddrLinklayer{Ifindex: index[1]}))
	}
}

// The kernel takes off a tag before the door sees the frame, and reads one of
// VLAN 0 (a priority alone) as if it had none. So no address may hide behind it.
func TestPriorityTag(t *testing.T) {
	f := newFixture(t, Config{})
	f.use(state.RuleSetOpen)
	host := netip.MustParseAddr("10.1.0.1")
	send := f.wire(host)
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 53)))
	must(t, err)
	defer conn.Close()
	say := func(src netip.Addr, what string) []byte {
		return bpftest.Frame{Src: src, Dst: host, Protocol: udp, SrcPort: 1000, DstPort: 53, Payload: []byte(what)}.Bytes(t)
	}
	send(say(friend4, "spoofed"))
	send(tag(say(friend4, "spoofed, tagged"), 0x8100, 0))
	send(tag(tag(say(friend4, "spoofed, tagged twice"), 0x8100, 0), 0x88a8, 0))
	send(say(pod4, "own"))
	must(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	b := make([]byte, 64)
	n, from, err := conn.ReadFromUDPAddrPort(b)
	must(t, err)
	if string(b[:n]) != "own" {
		t.Errorf("the host has heard %q from %v", b[:n], from)
	}
}
