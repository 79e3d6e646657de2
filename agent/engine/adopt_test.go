// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/gate"
	"github.com/sluice-io/sluice/bpf/state"
)

// twoInterfaces is an engine with the records of a pod with two interfaces, which
// has come while there were no pins.
func twoInterfaces(t *testing.T) (*fixture, []*rpc.Attachment) {
	t.Helper()
	bpftest.Netns(t)
	f := newFixture(t, state.Sizes{Pods: 4})
	netns := filepath.Join(t.TempDir(), "netns")
	must(t, os.WriteFile(netns, nil, 0o600))
	cgroup := bpftest.Cgroup(t)
	var st syscall.Stat_t
	must(t, syscall.Stat(cgroup, &st))
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "host-eth0"}, PeerName: "host-eth1"}))
	var list []*rpc.Attachment
	for i, ifName := range []string{"eth0", "eth1"} {
		host, err := net.InterfaceByName("host-" + ifName)
		must(t, err)
		a := &rpc.Attachment{
			ContainerID: "a", IfName: ifName, Namespace: "default", Name: "a", Netns: netns, Cookie: 1000,
			IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})}, HostIf: host.Name,
			HostIfIndex: host.Index, Cgroup: cgroup, CgroupID: st.Ino,
		}
		must(t, f.records.Put(a))
		list = append(list, a)
	}
	return f, list
}

// adopted restarts the engine and gives the records that it then has.
func (f *fixture) adopted(list []*rpc.Attachment) []rpc.Attachment {
	f.t.Helper()
	clear(f.pods)
	must(f.t, f.Adopt())
	var got []rpc.Attachment
	for _, a := range list {
		p := f.pods[a.Key()]
		if p == nil {
			f.t.Fatalf("%s is not adopted", a.Key())
		}
		s := f.dp.State()
		must(f.t, gate.Check(s, a.Key(), kernelPod(p.Attachment), gate.Cgroup{Path: a.Cgroup, ID: a.CgroupID}))
		got = append(got, *p.Attachment)
	}
	return got
}

// A restart keeps a pod's identity, rules and containers, whatever part is missing.
func TestAdoptKeepsIdentity(t *testing.T) {
	f, list := twoInterfaces(t)
	s, want := f.dp.State(), f.adopted(list)
	a := want[0]
	if b := want[1]; a.PodID == 0 || a.PodID != b.PodID || a.Slot != b.Slot {
		t.Fatalf("pods %d and %d in slots %d and %d, want one", a.PodID, b.PodID, a.Slot, b.Slot)
	}
	ruled := state.RawAssignment{Pod: a.PodID, Ruleset: 77}
	must(t, s.Rules.Put(a.Slot, ruled))
	container := state.RawCgroupPod{Container: 5, Slot: a.Slot, Pod: a.PodID}
	must(t, s.Cgroups.Put(a.CgroupID, container))
	for name, spoil := range map[string]func() error{
		"nothing":   func() error { return nil },
		"door link": func() error { return os.Remove(filepath.Join(s.Dir.Pod(a.Key()), "door_in")) },
		"all links": func() error { return gate.Detach(s.Dir, a.Key()) },
		"namespace": func() error { return s.Netnses.Delete(a.Cookie) },
		"door":      func() error { return s.Doors.Delete(uint32(a.HostIfIndex)) },
		"address":   func() error { return s.Owners.Delete(state.AddrKey(a.IPs[0])) },
	} {
		t.Run(name, func(t *testing.T) {
			must(t, spoil())
			if diff := cmp.Diff(want, f.adopted(list), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("records (-before +after):\n%s", diff)
			}
			var rules state.RawAssignment
			must(t, s.Rules.Lookup(a.Slot, &rules))
			var cgroup state.RawCgroupPod
			must(t, s.Cgroups.Lookup(a.CgroupID, &cgroup))
			if rules != ruled || cgroup != container {
				t.Errorf("rules %v and cgroup %v, want %v and %v", rules, cgroup, ruled, container)
			}
		})
	}
}

// One interface goes; the pod stays until the other goes too.
func TestInterfaceGoes(t *testing.T) {
	f, list := twoInterfaces(t)
	s, got := f.dp.State(), f.adopted(list)
	must(t, gate.Down(s, got[0].Key(), kernelPod(&got[0])))
	must(t, f.records.Delete(got[0].Key()))
	must(t, f.forgetGone())
	if len(f.pods) != 1 || f.pods[got[1].Key()] == nil {
		t.Errorf("pods %v, want that of eth1 alone", f.pods)
	}
	f.adopted(list[1:])
	must(t, os.Remove(got[1].Netns))
	must(t, netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: got[1].HostIf, Index: got[1].HostIfIndex}}))
	clear(f.pods)
	must(t, f.Adopt())
	live, err := s.Live(kernelPod(&got[1]))
	must(t, err)
	if live || len(f.pods) != 0 {
		t.Errorf("a pod without namespace and interface is live %v, pods %v", live, f.pods)
	}
}

// Rules go to the pod that they are for, also over what another has left there.
func TestAssignHeals(t *testing.T) {
	f := newFixture(t, state.Sizes{Pods: 4}, "a")
	s, a := f.dp.State(), f.pods[rpc.AttachmentKey("a", "eth0")]
	var want, got state.RawAssignment
	must(t, s.Rules.Lookup(a.Slot, &want))
	must(t, s.Rules.Put(a.Slot, state.RawAssignment{Pod: a.PodID + 1, Ruleset: 77}))
	must(t, f.realise())
	must(t, s.Rules.Lookup(a.Slot, &got))
	if got != want {
		t.Errorf("rules = %v, want %v", got, want)
	}
	next := state.RawAssignment{Pod: a.PodID + 1}
	must(t, s.Pods.Put(a.Slot, state.RawPod{Id: next.Pod}))
	must(t, s.Rules.Put(a.Slot, next))
	must(t, f.realise())
	must(t, s.Rules.Lookup(a.Slot, &got))
	if got != next {
		t.Errorf("rules of another pod = %v, want %v", got, next)
	}
}
