// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/eval"
	"github.com/sluice-io/sluice/policy/policytest"
)

// TestOracle compares Images with eval over random clusters and their edits.
// SLUICE_SEED=n repeats the run that printed n.
func TestOracle(t *testing.T) {
	seed := testSeed(t)
	flows, verdicts := 0, map[policy.Verdict]int{}
	for round := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, round))
		o := newOracle(policytest.Random(r, randomSize(r)), []Gives{everything, everything, withoutLSM}[round%3])
		for edit := range 6 {
			if err := o.step(r, 120, func(v policy.Verdict) {
				v.Rule = policy.RuleRef{}
				verdicts[v]++
				flows++
			}); err != nil {
				t.Fatalf("seed %d, round %d, edit %d: %v", seed, round, edit, err)
			}
			o.c = o.c.Edit(r)
		}
	}
	if flows < 20000 {
		t.Errorf("only %d flows compared", flows)
	}
	for v, n := range verdicts {
		t.Logf("%6d %+v", n, v)
	}
}

// FuzzOracle is TestOracle with clusters, edits and flows drawn from bytes.
func FuzzOracle(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("from namespaces to ports, and back"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := rand.New(&byteSource{data: data, rest: rand.NewPCG(1, 2)})
		o := newOracle(policytest.Random(r, randomSize(r)), []Gives{everything, withoutLSM}[r.IntN(2)])
		for range 3 {
			if err := o.step(r, 20, func(policy.Verdict) {}); err != nil {
				t.Fatal(err)
			}
			o.c = o.c.Edit(r)
		}
	})
}

// byteSource draws from bytes, one a number, and then from a generator: a source
// that ended in zeros could keep package rand trying for ever.
type byteSource struct {
	data []byte
	rest rand.Source
}

func (s *byteSource) Uint64() uint64 {
	if len(s.data) == 0 {
		return s.rest.Uint64()
	}
	b := s.data[0]
	s.data = s.data[1:]
	return uint64(b) * 0x0101010101010101 // rand uses low bits or high ones
}

func testSeed(t *testing.T) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("read SLUICE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("SLUICE_SEED=%d", seed)
	return seed
}

func randomSize(r *rand.Rand) policytest.Size {
	size := policytest.Small
	size.Namespaces = 1 + r.IntN(3)
	size.Pods = 5 + r.IntN(20)
	size.Nodes = r.IntN(4)
	size.Services = r.IntN(4)
	size.ClusterNetworkPolicies = r.IntN(8)
	size.NetworkPolicies = r.IntN(12)
	size.WorkloadPolicies = r.IntN(12)
	return size
}

// oracle is a Compiler at work on a cluster that is edited step by step.
type oracle struct {
	compiler *Compiler
	ids      *IDs
	c        policytest.Case
	last     policytest.Case // compiled before c
	image    *Image          // of last; nil at first
	gives    Gives
	in       Input // of the Image at hand
	before   Input // of image
}

func newOracle(c policytest.Case, gives Gives) *oracle {
	ids := new(IDs)
	return &oracle{compiler: New(ids), ids: ids, c: c, gives: gives}
}

// input is what a case asks of the node, which still knows the sums that the last one
// asked for.
func (o *oracle) input(c policytest.Case) Input {
	in := inputOf(c)
	if o.last.Cluster != nil {
		in.Programs = append(in.Programs, summed(o.last.Cluster)...)
	}
	in.Gives = o.gives
	return in
}

// step compiles the cluster and compares what the Image says, by the pods' rule
// sets and by those that retire, with eval.
func (o *oracle) step(r *rand.Rand, flows int, seen func(policy.Verdict)) error {
	o.in = o.input(o.c)
	if r.IntN(4) == 0 {
		if err := o.restart(); err != nil {
			return err
		}
	}
	if r.IntN(4) == 0 { // an Image that is never put in force
		if _, err := o.compiler.Compile(o.input(o.c.Edit(r))); err != nil {
			return err
		}
		o.compiler.Skip()
	}
	image, err := o.compiler.Compile(o.in)
	if err != nil {
		return err
	}
	if err := sameMeaning(o.image, image); err != nil {
		return err
	}
	halfway := mix(r, o.image, image)
	for range flows {
		f := o.c.Flow(r)
		if closed, err := o.askClosed(image, f.Pod); closed || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		q := question{image.Pods[f.Pod], f, image.Paths[f.Process], o.c.Cluster.Pods[f.Pod].IPs}
		want := eval.Judge(o.c.Cluster, f)
		seen(want)
		if diff := cmp.Diff(want, interpret(image, q)); diff != "" {
			return fmt.Errorf("%+v: -eval +image:\n%s", f, diff)
		}
		if err := o.askProgram(image, q, r); err != nil {
			return err
		}
		if err := o.askRetiring(image, halfway, q); err != nil {
			return err
		}
		if err := o.askActs(r, image, halfway, f.Pod); err != nil {
			return err
		}
	}
	if err := o.askPrivileges(image); err != nil {
		return err
	}
	o.last, o.image, o.before = o.c, image, o.in
	return nil
}

// restart goes over to a new process: it has the table of ids, and compiles first
// what the former one had compiled last.
func (o *oracle) restart() error {
	data, err := json.Marshal(o.ids)
	if err != nil {
		return err
	}
	o.ids = new(IDs)
	if err := json.Unmarshal(data, o.ids); err != nil {
		return err
	}
	o.compiler = New(o.ids)
	if o.last.Cluster == nil {
		return nil
	}
	image, err := o.compiler.Compile(o.before)
	if err != nil {
		return err
	}
	if err := sameMeaning(o.image, image); err != nil {
		return err
	}
	o.image = image
	return nil
}

// askProgram asks a flow of a file with several paths: a rule names it by any, and a
// pattern by the one under which it runs. Which of both is named is then left open.
func (o *oracle) askProgram(image *Image, q question, r *rand.Rand) error {
	if len(o.c.Programs) == 0 {
		return nil
	}
	i := r.IntN(len(o.c.Programs))
	paths := o.c.Programs[i]
	if len(paths) == 0 {
		return nil
	}
	q.program, q.Process = image.Programs[i], paths[0]
	want, got := eval.Judge(withAlias(o.c.Cluster, paths, q.Process), q.Flow), interpret(image, q)
	if len(paths) > 1 {
		want.Rule, got.Rule = policy.RuleRef{}, policy.RuleRef{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("program %q, %+v: -eval +image:\n%s", o.c.Programs[i], q.Flow, diff)
	}
	return nil
}

// withAlias is the cluster with alias named wherever one of paths is.
func withAlias(c *policy.Cluster, paths []string, alias string) *policy.Cluster {
	out := *c
	out.WorkloadPolicies = nil
	for _, p := range c.WorkloadPolicies {
		copied := *p
		for d := range copied.Rules {
			copied.Rules[d] = slices.Clone(copied.Rules[d])
			for i, rule := range copied.Rules[d] {
				if slices.ContainsFunc(rule.Processes, func(p policy.Process) bool { return slices.Contains(paths, p.Path) }) {
					copied.Rules[d][i].Processes = append(slices.Clone(rule.Processes), policy.Process{Path: alias})
				}
			}
		}
		aliasActs(&copied, paths, policy.Process{Path: alias})
		out.WorkloadPolicies = append(out.WorkloadPolicies, &copied)
	}
	return &out
}

// askClosed says whether a pod is closed for want of what its policies ask for.
func (o *oracle) askClosed(image *Image, pod policy.PodKey) (bool, error) {
	var want []policy.Ref
	if o.gives == withoutLSM {
		want = eval.ClosedBy(o.c.Cluster, pod)
	}
	got := image.Closed[pod]
	if diff := cmp.Diff(want, got); diff != "" || (image.Pods[pod] == RuleSetClosed) != (len(got) > 0) {
		return false, fmt.Errorf("%s has rule set %d; closed by: -eval +image:\n%s", pod, image.Pods[pod], diff)
	}
	return len(got) > 0, nil
}

// askRetiring asks a flow of a pod that still has the rule set of the Image
// before: by the old policies and the new addresses, or, halfway through the
// change of addresses, by the old policies and either. Pods that changed
// themselves are left out, as eval cannot be asked about them.
func (o *oracle) askRetiring(image, halfway *Image, q question) error {
	if o.image == nil || o.image.Closed[q.Pod] != nil || !sameSubject(o.last.Cluster, o.c.Cluster, q.Pod) {
		return nil
	}
	q.ruleSet = o.image.Pods[q.Pod]
	retiring := *o.c.Cluster
	retiring.ClusterNetworkPolicies = o.last.Cluster.ClusterNetworkPolicies
	retiring.NetworkPolicies = o.last.Cluster.NetworkPolicies
	retiring.WorkloadPolicies = o.last.Cluster.WorkloadPolicies
	want := eval.Judge(&retiring, q.Flow)
	if diff := cmp.Diff(want, interpret(image, q)); diff != "" {
		return fmt.Errorf("retiring rule set %d, %+v: -eval +image:\n%s", q.ruleSet, q.Flow, diff)
	}
	_, was := o.image.Peers[q.Peer]
	_, is := image.Peers[q.Peer]
	if was != is && !maps.EqualFunc(o.last.Cluster.Nodes, o.c.Cluster.Nodes, samePodCIDRs) {
		return nil // see Compile
	}
	got := interpret(halfway, q)
	if got != want && got != eval.Judge(o.last.Cluster, q.Flow) {
		return fmt.Errorf("retiring rule set %d, %+v: %+v is right neither before nor after", q.ruleSet, q.Flow, got)
	}
	return nil
}

func samePodCIDRs(a, b policy.Node) bool { return slices.Equal(a.PodCIDRs, b.PodCIDRs) }

// sameSubject says whether a pod is the same in two clusters to those that select it.
func sameSubject(a, b *policy.Cluster, key policy.PodKey) bool {
	x, ok := a.Pods[key]
	y := b.Pods[key]
	return ok && maps.Equal(x.Labels, y.Labels) && slices.Equal(x.IPs, y.IPs) && slices.Equal(x.Ports, y.Ports) &&
		maps.Equal(a.Namespaces[key.Namespace].Labels, b.Namespaces[key.Namespace].Labels)
}

// mix is what the datapath holds after it has added what is new in b and while it
// changes addresses: everything of both, and of Peers and Prefixes either.
func mix(r *rand.Rand, a, b *Image) *Image {
	if a == nil {
		return b
	}
	return &Image{
		RuleSets: both(a.RuleSets, b.RuleSets), Edges: both(a.Edges, b.Edges), Ports: both(a.Ports, b.Ports),
		Processes: both(a.Processes, b.Processes), Permits: both(a.Permits, b.Permits), Rules: both(a.Rules, b.Rules),
		FileRules: both(a.FileRules, b.FileRules), Paths: both(a.Paths, b.Paths), Folders: either(r, a.Folders, b.Folders),
		Peers: either(r, a.Peers, b.Peers), Prefixes: either(r, a.Prefixes, b.Prefixes),
	}
}

func both[K comparable, V any](a, b map[K]V) map[K]V {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// either takes each key's value, or its absence, from one of two maps.
func either[K comparable, V any](r *rand.Rand, a, b map[K]V) map[K]V {
	out := map[K]V{}
	keys := slices.SortedFunc(maps.Keys(both(a, b)), func(x, y K) int { // map order is not the seed's
		return strings.Compare(fmt.Sprint(x), fmt.Sprint(y))
	})
	for _, k := range keys {
		from := a
		if r.IntN(2) == 0 {
			from = b
		}
		if v, ok := from[k]; ok {
			out[k] = v
		}
	}
	return out
}

func (o *oracle) askPrivileges(image *Image) error {
	for _, pod := range o.c.Local {
		if image.Closed[pod] != nil {
			continue
		}
		set := image.RuleSets[image.Pods[pod]]
		want := eval.Privileges(o.c.Cluster, pod)
		got := eval.Response{Action: policy.Ignore, Rule: image.Rules[set.PrivilegesRule]}
		if set.Privileges != ActionIgnore {
			got.Action, got.Audit = policy.Kill, set.Privileges == ActionAudit
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("privileges of %s: -eval +image:\n%s", pod, diff)
		}
	}
	return nil
}

// sameMeaning says whether what two successive Images both hold under an id is
// the same: the datapath adds and removes, it never overwrites but in Pods, Peers,
// Prefixes and Folders.
func sameMeaning(a, b *Image) error {
	if a == nil {
		return nil
	}
	for _, diff := range []string{
		common(a.RuleSets, b.RuleSets), common(a.Edges, b.Edges), common(a.Ports, b.Ports),
		common(a.Processes, b.Processes), common(a.Permits, b.Permits), common(a.FileRules, b.FileRules), common(a.Rules, b.Rules), common(a.Paths, b.Paths),
	} {
		if diff != "" {
			return fmt.Errorf("changed under its id: %s", diff)
		}
	}
	return nil
}

func common[K, V comparable](a, b map[K]V) string {
	for k, v := range a {
		if w, ok := b[k]; ok && v != w {
			return fmt.Sprintf("%+v: %+v became %+v", k, v, w)
		}
	}
	return ""
}
