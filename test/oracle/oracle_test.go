// SPDX-License-Identifier: Apache-2.0

// Package oracle compares the loaded programs with policy/eval: random policies,
// pods and frames, through the compiler and the real maps.
package oracle

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
	"github.com/sluice-io/sluice/policy/eval"
	"github.com/sluice-io/sluice/policy/policytest"
)

const (
	rounds       = 80
	edits        = 4
	flowsPerEdit = 80
	ifindex      = 1 // lo of the test's namespace: the door of every pod in turn
)

// kernel is one instance's maps and programs.
type kernel struct {
	dp    *datapath.Datapath
	doors [2]*ebpf.Program // by direction
	judge *ebpf.Program
	query *ebpf.Map
	pods  map[policy.PodKey]state.Pod
	port  uint16
	made  uint32 // pods so far
}

func newKernel(t *testing.T, c datapath.Config) *kernel {
	t.Helper()
	bpftest.Netns(t)
	dir := bpftest.Dir(t)
	flows := door.Config{HalfOpen: 1 << 20, Open: 1 << 20, Denied: 1 << 20}
	c.BPFFS, c.Flows = string(dir), flows
	dp, err := datapath.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dp.Close()
		if err := datapath.Uninstall(string(dir)); err != nil {
			t.Error(err)
		}
	})
	coll, err := door.Load(dp.State(), flows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	spec, err := loadJudge()
	if err != nil {
		t.Fatal(err)
	}
	ask, err := dp.State().Load(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ask.Close)
	return &kernel{
		dp:    dp,
		doors: [2]*ebpf.Program{coll.Programs["door_in"], coll.Programs["door_out"]},
		judge: ask.Programs["ask_judge"],
		query: ask.Maps["queries"],
		pods:  make(map[policy.PodKey]state.Pod),
	}
}

// install registers the local pods of c and puts img in force.
func (k *kernel) install(t *testing.T, c *policytest.Case, img *compile.Image) {
	t.Helper()
	want := datapath.Desired{Image: img, Rules: make(map[uint32]state.RawAssignment)}
	for key, p := range k.pods {
		if !slices.Contains(c.Local, key) || !slices.Equal(p.Addrs, c.Cluster.Pods[key].IPs) {
			must(t, k.dp.State().Unregister(p))
			delete(k.pods, key)
		}
	}
	for _, key := range c.Local {
		p, ok := k.pods[key]
		if !ok {
			k.made++
			p = state.Pod{IfIndex: 1000 + k.made, Cookie: 1e6 + uint64(k.made), Addrs: c.Cluster.Pods[key].IPs}
			must(t, k.dp.State().Register(&p))
			k.pods[key] = p
		}
		for _, a := range p.Addrs { // a pod that shared it may have left meanwhile
			must(t, k.dp.State().Owners.Put(state.AddrKey(a), p.Slot))
		}
		want.Rules[p.Slot] = state.RawAssignment{Pod: p.ID, Ruleset: img.Pods[key]}
	}
	must(t, k.dp.Apply(want))
}

// flowPID is the process behind every flow, and when it began.
const flowPID = 77

// ask puts a flow to the judge function.
func (k *kernel) ask(t *testing.T, img *compile.Image, f policy.Flow, program, layers uint32) judgeQuery {
	t.Helper()
	var q judgeQuery
	p := k.pods[f.Pod]
	q.Question.Peer.W = state.AddrKey(f.Peer).W
	q.Question.Rules.Pod, q.Question.Rules.Ruleset = p.ID, img.Pods[f.Pod]
	q.Question.Program, q.Question.Pid, q.Question.ExecId = program, flowPID, flowPID
	r := recordOf(policy.Program{Path: f.Process, Image: true})
	r.ExecId = flowPID
	must(t, k.dp.State().Procs.Put(uint32(flowPID), r))
	q.Question.Layers = layers
	q.Question.Port = f.Port
	q.Question.Protocol = uint8(f.Protocol)
	q.Question.Direction = uint8(f.Direction)
	must(t, k.query.Put(uint32(0), q))
	if _, err := k.judge.Run(&ebpf.RunOptions{Data: make([]byte, 14)}); err != nil {
		t.Fatalf("run judge: %v", err)
	}
	must(t, k.query.Lookup(uint32(0), &q))
	return q
}

// send puts a flow's first frame through the door.
func (k *kernel) send(t *testing.T, f policy.Flow) (uint32, *state.RawFlow) {
	t.Helper()
	p := k.pods[f.Pod]
	must(t, k.dp.State().Doors.Put(uint32(ifindex), state.RawDoorway{Slot: p.Slot}))
	own := p.Addrs[slices.IndexFunc(p.Addrs, func(a netip.Addr) bool { return a.Is4() == f.Peer.Is4() })]
	k.port++
	if k.port < 1024 {
		k.port = 1024
	}
	frame := bpftest.Frame{Src: own, Dst: f.Peer, Protocol: uint8(f.Protocol), SrcPort: k.port, DstPort: f.Port, SYN: true}
	key := state.RawFlowKey{Pod: state.AddrKey(own), Peer: state.AddrKey(f.Peer), Ifindex: ifindex, Protocol: uint8(f.Protocol)}
	podPort, peerPort := k.port, f.Port
	if f.Direction == policy.Ingress {
		frame.Src, frame.Dst = frame.Dst, frame.Src
		podPort, peerPort = f.Port, k.port
	}
	switch f.Protocol {
	case policy.TCP, policy.UDP, policy.SCTP:
	case policy.ICMP, policy.ICMPv6: // an echo: identifier and type
		asks, asked := k.port, uint16(8)
		if f.Protocol == policy.ICMPv6 {
			asked = 128
		}
		podPort, peerPort = asks, asked
		if f.Direction == policy.Ingress {
			podPort, peerPort = asked, asks
		}
	default:
		podPort, peerPort = 0, 0
	}
	key.PodPort, key.PeerPort = state.Port(podPort), state.Port(peerPort)
	ret := bpftest.Run(t, k.doors[f.Direction], frame.Bytes(t), false)
	var flow state.RawFlow
	if err := k.dp.State().Flows.Lookup(key, &flow); err != nil {
		return ret, nil
	}
	return ret, &flow
}

// TestOracle is replayed by SLUICE_SEED. It runs with and without the optional points.
func TestOracle(t *testing.T) {
	seed := seedOf(t)
	t.Logf("seed %d (replay with SLUICE_SEED=%d)", seed, seed)
	for name, c := range map[string]datapath.Config{
		"all points":           {},
		"without the optional": {NoNetfilter: true, NoSockets: true, NoScripts: true},
	} {
		t.Run(name, func(t *testing.T) { compareAll(t, newKernel(t, c), seed) })
	}
}

func compareAll(t *testing.T, k *kernel, seed uint64) {
	t.Helper()
	rounds := rounds
	if testing.Short() { // a slow machine
		rounds /= 10
	}
	flows, verdicts := 0, map[policy.Verdict]int{}
	for round := range rounds {
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		c := policytest.Random(r, policytest.Small)
		compiler := compile.New(new(compile.IDs))
		for edit := range edits {
			img, err := compiler.Compile(inputOf(&c))
			must(t, err)
			k.install(t, &c, img)
			for range flowsPerEdit {
				f := c.Flow(r)
				if judged(&c, f) {
					k.compare(t, &c, img, f, seed, uint64(round), edit)
					v := eval.Judge(c.Cluster, f)
					v.Rule = policy.RuleRef{}
					verdicts[v]++
					flows++
				}
			}
			c = c.Edit(r)
		}
		k.clear(t)
	}
	if flows < 250*rounds {
		t.Errorf("only %d flows compared", flows)
	}
	counters, _ := k.dp.Counters()
	t.Logf("full %v", counters.Full)
	for v, n := range verdicts {
		t.Logf("%6d %+v", n, v)
	}
}

// inputOf is a case on a node that gives everything: a pod that is closed instead is
// not judged.
func inputOf(c *policytest.Case) compile.Input {
	in := compile.Input{Cluster: c.Cluster, Local: c.Local, Gives: compile.Gives{
		DenyExec: true, KillExec: true, DenyCapability: true, KillCapability: true, DenyFile: true, KillFile: true,
	}}
	for _, paths := range c.Programs {
		in.Programs = append(in.Programs, compile.Program{Paths: paths})
	}
	return in
}

// judged leaves out what is never judged, and pods that share an address: the
// kernel has one owner for each.
func judged(c *policytest.Case, f policy.Flow) bool {
	if f.Peer.IsLoopback() || f.Peer.IsMulticast() || slices.Contains(c.Cluster.Pods[f.Pod].IPs, f.Peer) {
		return false
	}
	for _, key := range c.Local {
		for _, ip := range c.Cluster.Pods[key].IPs {
			if key != f.Pod && slices.Contains(c.Cluster.Pods[f.Pod].IPs, ip) {
				return false
			}
		}
	}
	return true
}

func (k *kernel) compare(t *testing.T, c *policytest.Case, img *compile.Image, f policy.Flow, seed, round uint64, edit int) {
	t.Helper()
	want := eval.Judge(c.Cluster, f)
	where := func() string {
		return "seed " + strconv.FormatUint(seed, 10) + " round " + strconv.FormatUint(round, 10) + " edit " + strconv.Itoa(edit)
	}
	got := k.verdict(t, img, f, img.Paths[f.Process])
	if got != want {
		t.Fatalf("%s: judge of %+v\n got %+v\nwant %+v", where(), f, got, want)
	}
	f.Process = "" // frames of a test run bear no socket
	want = eval.Judge(c.Cluster, f)
	ret, flow := k.send(t, f)
	if (ret == bpftest.Next) != want.Allowed || flow == nil {
		counters, _ := k.dp.Counters()
		t.Fatalf("%s: door on %+v\n got %d, flow %+v, full %v\nwant %+v", where(), f, ret, flow, counters.Full, want)
	}
	if state.Reason(flow.Reason) != string(want.Reason) && !want.AuditDenied || img.Rules[flow.Rule] != want.Rule && !want.AuditDenied {
		t.Fatalf("%s: door on %+v\n got %s by %+v\nwant %+v", where(), f, state.Reason(flow.Reason), img.Rules[flow.Rule], want)
	}
}

// verdict asks the judge function all that a policy.Verdict says.
func (k *kernel) verdict(t *testing.T, img *compile.Image, f policy.Flow, program uint32) policy.Verdict {
	t.Helper()
	both := k.ask(t, img, f, program, 1<<compile.Layers-1)
	v := policy.Verdict{
		Allowed:     both.Allowed == 1,
		Reason:      policy.Reason(state.Reason(both.Answer.Reason)),
		Rule:        img.Rules[both.Answer.Rule],
		AuditDenied: both.Answer.Verdict == state.AuditDenied,
	}
	if v.AuditDenied { // the answer tells why it would be denied, eval why it is not
		want := k.plain(t, img, f, program)
		v.Reason, v.Rule = want.Reason, want.Rule
	}
	if v.Reason == policy.ReasonDefaultDeny && !v.Allowed {
		v.Kind = policy.KindNetworkPolicy
		if both.Answer.Layer == state.LayerWorkload {
			v.Kind = policy.KindWorkloadPolicy
		}
	}
	if !v.Allowed {
		alone := k.ask(t, img, f, program, 1<<compile.Admin|1<<compile.WorkloadPolicies)
		v.Errno = alone.Allowed == 0 && alone.Answer.ErrnoResponse == 1
	}
	return v
}

// plain asks without the audit twin, by taking it off the rule set for a moment.
func (k *kernel) plain(t *testing.T, img *compile.Image, f policy.Flow, program uint32) policy.Verdict {
	t.Helper()
	id := img.Pods[f.Pod]
	var rs state.RawRuleset
	must(t, k.dp.State().Rulesets.Lookup(id, &rs))
	without := rs
	without.Audit = 0
	must(t, k.dp.State().Rulesets.Put(id, without))
	q := k.ask(t, img, f, program, 1<<compile.Layers-1)
	must(t, k.dp.State().Rulesets.Put(id, rs))
	return policy.Verdict{Reason: policy.Reason(state.Reason(q.Answer.Reason)), Rule: img.Rules[q.Answer.Rule]}
}

// clear takes all pods and flows away.
func (k *kernel) clear(t *testing.T) {
	t.Helper()
	for key, p := range k.pods {
		must(t, k.dp.State().Unregister(p))
		delete(k.pods, key)
	}
	var key state.RawFlowKey
	var flow state.RawFlow
	var keys []state.RawFlowKey
	for it := k.dp.State().Flows.Iterate(); it.Next(&key, &flow); {
		keys = append(keys, key)
	}
	for _, key := range keys { // the kernel ends them too, now that their pods are gone
		if err := k.dp.State().Flows.Delete(key); !errors.Is(err, ebpf.ErrKeyNotExist) {
			must(t, err)
		}
	}
}

func seedOf(t *testing.T) uint64 {
	t.Helper()
	s := os.Getenv("SLUICE_SEED")
	if s == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	must(t, err)
	return seed
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
