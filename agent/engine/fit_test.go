// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/api"
	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/journal"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// fixture is an engine over small maps, with pods that no interface bears.
type fixture struct {
	*Engine
	t *testing.T
}

func newFixture(t *testing.T, sizes state.Sizes, names ...string) *fixture {
	t.Helper()
	dir := string(bpftest.Dir(t))
	dp, err := datapath.Open(datapath.Config{BPFFS: dir, Sizes: sizes})
	must(t, err)
	t.Cleanup(func() {
		dp.Close()
		must(t, datapath.Uninstall(dir))
	})
	e, err := New(Config{StateDir: t.TempDir(), CgroupRoot: "/"}, dp, journal.New(8, 8), slog.New(slog.DiscardHandler))
	must(t, err)
	f := &fixture{e, t}
	for i, name := range names {
		f.attach(i, name)
	}
	return f
}

func (f *fixture) attach(i int, name string) error {
	f.t.Helper()
	addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
	p := state.Pod{IfIndex: uint32(100 + i), Cookie: uint64(1000 + i), Addrs: []netip.Addr{addr}}
	must(f.t, f.dp.State().Register(&p))
	_, err := f.Attach(f.t.Context(), rpc.Attachment{
		ContainerID: name, IfName: "eth0", Namespace: "default", Name: name, IPs: p.Addrs,
		Slot: p.Slot, PodID: p.ID, HostIfIndex: int(p.IfIndex), Cookie: p.Cookie,
	})
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cluster has a pod for each label value and the policies.
func cluster(pods []string, policies ...*policy.NetworkPolicy) *policy.Cluster {
	c := &policy.Cluster{Pods: make(map[policy.PodKey]policy.Pod), NetworkPolicies: policies}
	for _, name := range pods {
		key := policy.PodKey{Namespace: "default", Name: name}
		c.Pods[key] = policy.Pod{PodKey: key, Labels: map[string]string{"app": name}}
	}
	return c
}

// allow lets anyone reach n ports of the pod that bears the policy's name.
func allow(name string, n int) *policy.NetworkPolicy {
	p := &policy.NetworkPolicy{Namespace: "default", Name: name, Isolates: [2]bool{policy.Ingress: true}}
	p.Pods.Requirements = []policy.Requirement{{Key: "app", Operator: policy.In, Values: []string{name}}}
	r := policy.Rule{}
	for i := range n {
		r.Ports = append(r.Ports, policy.Port{Protocol: policy.TCP, Number: uint16(1001 + 2*i)}) // no range
	}
	p.Rules[policy.Ingress] = []policy.Rule{r}
	return p
}

func (f *fixture) want(states map[string]string) {
	f.t.Helper()
	for _, p := range f.Pods() {
		if want := states[p.Name]; p.State != want {
			f.t.Errorf("pod %s is %s, want %s", p.Name, p.State, want)
		}
		var got state.RawAssignment
		must(f.t, f.dp.State().Rules.Lookup(f.pods[rpc.AttachmentKey(p.Name, "eth0")].Slot, &got))
		if closed := got.Ruleset == state.RuleSetClosed; closed != (p.State == "closed") {
			f.t.Errorf("pod %s is %s, but has rule set %d in the kernel", p.Name, p.State, got.Ruleset)
		}
	}
}

func TestPutThatDoesNotFitChangesNothing(t *testing.T) {
	f := newFixture(t, state.Sizes{Ports: 20}, "a", "b")
	pods := []string{"a", "b"}
	small := cluster(pods, allow("a", 4))
	_, err := f.Apply(t.Context(), small)
	must(t, err)
	before := f.assignmentOf("a")
	if _, err := f.Apply(t.Context(), cluster(pods, allow("a", 4), allow("b", 500))); !errors.Is(err, api.ErrNoFit) {
		t.Fatalf("error = %v, want ErrNoFit", err)
	}
	for _, m := range f.Status().Maps {
		if m.Name == state.RawMapPorts && m.Full == 0 {
			t.Error("status does not count what the full map refused")
		}
	}
	if after := f.assignmentOf("a"); after != before {
		t.Errorf("rules of a went from %v to %v", before, after)
	}
	f.want(map[string]string{"a": "enforced", "b": "enforced"})
	if _, err := f.Apply(t.Context(), cluster(pods, allow("a", 4), allow("b", 4))); err != nil {
		t.Errorf("a change that fits, after one that did not: %v", err)
	}
}

func (f *fixture) assignmentOf(name string) state.RawAssignment {
	f.t.Helper()
	var a state.RawAssignment
	must(f.t, f.dp.State().Rules.Lookup(f.pods[rpc.AttachmentKey(name, "eth0")].Slot, &a))
	return a
}

// A policy that does not fit denies what it is about, and nothing else.
func TestManifestThatDoesNotFitDenies(t *testing.T) {
	f := newFixture(t, state.Sizes{Ports: 20}, "a", "b", "c")
	pods := []string{"a", "b", "c"}
	small, large := allow("a", 4), allow("b", 500)
	if err := f.Follow(cluster(pods, large, small)); !errors.Is(err, api.ErrNoFit) {
		t.Fatalf("error = %v, want ErrNoFit", err)
	}
	f.want(map[string]string{"a": "enforced", "b": "enforced", "c": "enforced"})
	f.wantActive("b", policy.Ingress, true)
	f.wantActive("b", policy.Egress, false)
	f.wantDegraded("b", "all ingress of the pods it selects is denied")
	must(t, f.Follow(cluster(pods, allow("b", 4), small)))
	f.want(map[string]string{"a": "enforced", "b": "enforced", "c": "enforced"})
	f.wantDegraded("b", "")
}

// So does one whose list of programs does not fit: none of them may run.
func TestActsThatDoNotFitAreDenied(t *testing.T) {
	f := newFixture(t, state.Sizes{Permits: 20}, "a", "b")
	var allow []policy.ExecRule
	for i := range 500 {
		allow = append(allow, policy.ExecRule{Process: policy.Process{Path: fmt.Sprint("/bin/", i)}})
	}
	audit := acts("a", policy.Kill, policy.Observe, allow...)
	audit.Mode = policy.Audit
	err := f.Follow(clusterOf([]string{"a", "b"}, audit, acts("b", policy.Kill, policy.Observe, allow...)))
	if !errors.Is(err, api.ErrNoFit) {
		t.Fatalf("error = %v, want ErrNoFit", err)
	}
	f.want(map[string]string{"a": "enforced", "b": "enforced"})
	f.wantDegraded("a", "nothing is denied for it")
	f.wantDegraded("b", "all exec of the pods it selects is denied")
	var rs state.RawRuleset
	must(t, f.dp.State().Rulesets.Lookup(f.assignmentOf("b").Ruleset, &rs))
	if head := rs.Exec[0]; head.List != 0 || uint32(head.Action) != state.ActionKill {
		t.Errorf("head %+v", head)
	}
	must(t, f.Follow(clusterOf([]string{"a", "b"}, acts("b", policy.Kill, policy.Observe, allow[:10]...))))
	f.wantDegraded("b", "")
}

// Where not even a denial fits, the pods are closed.
func TestPodsOfNoRoomAreClosed(t *testing.T) {
	f := newFixture(t, state.Sizes{Ports: 20}, "a", "b", "c")
	full := cluster([]string{"a", "b", "c"}, allow("a", 20))
	must(t, f.Follow(full))
	wide := &policy.ClusterNetworkPolicy{Name: "wide", Tier: policy.Admin, Pods: allow("b", 1).Pods}
	wide.Rules[policy.Egress] = []policy.Rule{{Action: policy.Accept, Ports: allow("b", 500).Rules[policy.Ingress][0].Ports}}
	more := *full
	more.ClusterNetworkPolicies = []*policy.ClusterNetworkPolicy{wide}
	for range 2 { // a second round finds it as it was
		if err := f.Follow(&more); !errors.Is(err, api.ErrNoFit) {
			t.Fatalf("error = %v, want ErrNoFit", err)
		}
		f.want(map[string]string{"a": "enforced", "b": "closed", "c": "enforced"})
		f.wantDegraded("wide", "the pods it selects are closed")
	}
	must(t, f.Detach(t.Context(), "b", "eth0"))
	must(t, f.attach(3, "b")) // a pod that comes is no better off
	f.want(map[string]string{"a": "enforced", "b": "closed", "c": "enforced"})
	must(t, f.Follow(full))
	f.want(map[string]string{"a": "enforced", "b": "enforced", "c": "enforced"})
}

// wantActive says whether something isolates a pod in a direction.
func (f *fixture) wantActive(name string, d policy.Direction, want bool) {
	f.t.Helper()
	var rs state.RawRuleset
	must(f.t, f.dp.State().Rulesets.Lookup(f.assignmentOf(name).Ruleset, &rs))
	if active := rs.Active[int(d)*compile.Layers+int(compile.NetworkPolicies)] != 0; active != want {
		f.t.Errorf("%s of pod %s is isolated: %v, want %v", d, name, active, want)
	}
}

// wantDegraded says which policy is degraded, and what the reason ends with; with "",
// that it is not.
func (f *fixture) wantDegraded(name, why string) {
	f.t.Helper()
	for _, p := range f.Status().Policies {
		if p.Name != name {
			continue
		}
		if degraded := p.State == "degraded"; degraded != (why != "") || !strings.HasSuffix(p.Reason, why) {
			f.t.Errorf("policy %s is %s: %q, want %q", name, p.State, p.Reason, why)
		}
		return
	}
	f.t.Errorf("status does not tell of policy %s", name)
}

func TestPodThatDoesNotFitStaysClosed(t *testing.T) {
	f := newFixture(t, state.Sizes{Addresses: 3}, "a", "b", "c")
	pods := []string{"a", "b", "c", "d"}
	p := allow("a", 1)
	p.Rules[policy.Ingress][0].Peers = []policy.Peer{{Pods: &policy.Selector{}}} // every pod has a class
	_, err := f.Apply(t.Context(), cluster(pods, p))
	must(t, err)
	if err := f.attach(3, "d"); !errors.Is(err, datapath.ErrNoFit) {
		t.Fatalf("error = %v, want ErrNoFit", err)
	}
	f.want(map[string]string{"a": "enforced", "b": "enforced", "c": "enforced", "d": "closed"})
	if n := len(f.Status().Problems); n != 1 {
		t.Errorf("%d problems, want 1: %v", n, f.Status().Problems)
	}
	must(t, f.Detach(t.Context(), "c", "eth0"))
	f.mu.Lock()
	err = f.round()
	f.mu.Unlock()
	must(t, err)
	f.want(map[string]string{"a": "enforced", "b": "enforced", "d": "enforced"})
}

// What has not changed keeps its ids over a restart: no connection is judged anew.
func TestIDsOutliveTheEngine(t *testing.T) {
	f := newFixture(t, state.Sizes{}, "a")
	c := cluster([]string{"a"}, allow("a", 3))
	must(t, f.Follow(c))
	before := f.assignmentOf("a")
	again, err := New(f.cfg, f.dp, f.journal, f.log)
	must(t, err)
	again.pods = f.pods
	must(t, again.Follow(cluster([]string{"a"}, allow("x", 1), allow("a", 3))))
	if after := f.assignmentOf("a"); after != before {
		t.Errorf("rules went from %v to %v", before, after)
	}
}
