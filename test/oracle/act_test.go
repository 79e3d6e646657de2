// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/bpf/state"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
	"github.com/sluice-io/sluice/policy/eval"
	"github.com/sluice-io/sluice/policy/policytest"
)

const (
	actsPerEdit = 60
	unresolved  = 1 // a container that no agent has looked into
	resolved    = 2
)

// PROC_IMAGE, PROC_CUT and PROC_ROOT of bpf/include/types.h.
const (
	procImage = 2
	procCut   = 4
	procRoot  = 16
)

// act is an exec, the use of a capability or the use of a file: one of them is not nil.
type act struct {
	pod  policy.PodKey
	exec *policy.ExecAct
	use  *policy.CapabilityAct
	file *policy.FileAct
}

func randomAct(r *rand.Rand, c *policytest.Case) act {
	a := act{pod: c.Local[r.IntN(len(c.Local))]}
	switch r.IntN(3) {
	case 0:
		exec := policytest.Exec(r)
		a.exec = &exec
	case 1:
		use := policytest.Capability(r)
		use.Unaudited = false // what becomes of Kill then is not the tables' to say
		a.use = &use
	default:
		file := policytest.File(r)
		a.file = &file
	}
	return a
}

// programs are what acts are by and of.
func (a act) programs() []found {
	switch {
	case a.exec != nil:
		return []found{{Program: a.exec.Program}, {Program: a.exec.Parent}}
	case a.use != nil:
		return []found{{Program: a.use.Program}}
	}
	return []found{{Program: a.file.Program}, {Program: policy.Program{Path: a.file.File, Image: true}, used: true}}
}

// found is what the agent finds in a container: a program, or a file that is used.
type found struct {
	policy.Program
	used bool
}

// files are the programs and files of some acts.
type files map[found]int

func (f files) add(p found) {
	p.Image, p.Root = false, false
	if _, ok := f[p]; !ok && p.Path != "" {
		f[p] = len(f)
	}
}

func (f files) list() []compile.Program {
	list := make([]compile.Program, len(f))
	for p, i := range f {
		if p.used {
			list[i] = compile.Program{Files: []string{p.Path}}
		} else {
			list[i] = compile.Program{Paths: []string{p.Path}, SHA256: p.SHA256}
		}
	}
	return list
}

// recordOf is a process that runs a program.
func recordOf(p policy.Program) (out state.RawProc) {
	if p.Image {
		out.Flags = procImage
	}
	if p.Root {
		out.Flags |= procRoot
	}
	if len(p.Path) >= state.PathLen {
		out.Flags |= procCut
	}
	copy(out.Path.Path[:state.PathLen-1], p.Path)
	out.Folder = uint32(8 * (strings.LastIndexByte(p.Path, '/') + 1))
	return out
}

// record is a process that runs a program: in a container that is resolved if its sum
// matters, else in either kind.
func (f files) record(r *rand.Rand, p found) state.RawProc {
	out := recordOf(p.Program)
	out.Program.Container = unresolved
	if p.Path != "" && (p.SHA256 != "" || r.IntN(2) == 0) {
		p.Image, p.Root = false, false
		out.Program.Container, out.Program.Ino = resolved, uint64(1+f[p])
	}
	return out
}

// TestActs compares what the tables say of acts with policy/eval. It is replayed by
// SLUICE_SEED.
func TestActs(t *testing.T) {
	seed := seedOf(t)
	t.Logf("seed %d (replay with SLUICE_SEED=%d)", seed, seed)
	k := newKernel(t, datapath.Config{})
	spec, err := loadAct()
	must(t, err)
	coll, err := k.dp.State().Load(spec)
	must(t, err)
	t.Cleanup(coll.Close)
	rounds := rounds
	if testing.Short() {
		rounds /= 10
	}
	responses := map[eval.Response]int{}
	for round := range rounds {
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		c := policytest.Random(r, policytest.Small)
		compiler := compile.New(new(compile.IDs))
		for edit := range edits {
			acts, found := make([]act, actsPerEdit), make(files)
			for i := range acts {
				acts[i] = randomAct(r, &c)
				for _, p := range acts[i].programs() {
					found.add(p)
				}
			}
			in := inputOf(&c)
			in.Programs = found.list()
			img, err := compiler.Compile(in)
			must(t, err)
			k.installActs(t, &c, img)
			for _, a := range acts {
				want := answer(c.Cluster, a)
				if got := k.act(t, r, coll, img, found, a); got != want {
					t.Fatalf("seed %d round %d edit %d: %+v %+v %+v of %v\n got %+v\nwant %+v", seed, round, edit, a.exec, a.use, a.file, a.pod, got, want)
				}
				want.Rule = policy.RuleRef{}
				responses[want]++
			}
			c = c.Edit(r)
		}
		k.clear(t)
	}
	for answer, n := range responses {
		t.Logf("%6d %+v", n, answer)
	}
	for _, action := range []policy.Action{policy.Kill, policy.Prevent, policy.Report, policy.Ignore} {
		if responses[eval.Response{Action: action}] < rounds {
			t.Errorf("%s came up %d times only", action, responses[eval.Response{Action: action}])
		}
	}
}

// answer is eval's, with no more of an audit than the kernel tells.
func answer(c *policy.Cluster, a act) eval.Response {
	var out eval.Response
	switch {
	case a.exec != nil:
		out = eval.Exec(c, a.pod, *a.exec)
	case a.use != nil:
		out = eval.Capability(c, a.pod, *a.use)
	default:
		out = eval.File(c, a.pod, *a.file)
	}
	if out.Audit {
		out.Action, out.Audit = policy.Report, false
	}
	return out
}

// installActs is install, with the files that programs are.
func (k *kernel) installActs(t *testing.T, c *policytest.Case, img *compile.Image) {
	t.Helper()
	k.install(t, c, img)
	want := datapath.Desired{Image: img, Rules: make(map[uint32]state.RawAssignment), Files: make(map[datapath.File]uint32), Containers: map[uint64]bool{resolved: false}}
	for key, p := range k.pods {
		want.Rules[p.Slot] = state.RawAssignment{Pod: p.ID, Ruleset: img.Pods[key]}
	}
	for i, id := range img.Programs {
		if id != 0 {
			want.Files[datapath.File{Container: resolved, Ino: uint64(1 + i)}] = id
		}
	}
	must(t, k.dp.Apply(want))
}

// act puts an act to the tables.
func (k *kernel) act(t *testing.T, r *rand.Rand, coll *ebpf.Collection, img *compile.Image, found files, a act) eval.Response {
	t.Helper()
	p := k.pods[a.pod]
	q := actActQuery{Slot: p.Slot, Pod: p.ID}
	switch {
	case a.use != nil:
		q.What = 1 + uint32(a.use.Capability)
	case a.file != nil:
		q.File, q.Operation = 1, uint32(bits.TrailingZeros16(uint16(a.file.Operation)))
	}
	records := make([]state.RawProc, 2) // the second is the parent, or the file
	for i, p := range a.programs() {
		records[i] = found.record(r, p)
	}
	for i, p := range records {
		must(t, coll.Maps["act_records"].Put(uint32(i), p))
	}
	must(t, coll.Maps["act_queries"].Put(uint32(0), q))
	if _, err := coll.Programs["ask_act"].Run(&ebpf.RunOptions{Data: make([]byte, 14)}); err != nil {
		t.Fatalf("run act: %v", err)
	}
	must(t, coll.Maps["act_queries"].Lookup(uint32(0), &q))
	return eval.Response{Action: actions[q.By.Action], Rule: img.Rules[q.By.Rule]}
}

var actions = map[uint32]policy.Action{
	state.ActionIgnore: policy.Ignore, state.ActionAudit: policy.Report, state.ActionDeny: policy.Prevent, state.ActionKill: policy.Kill,
}
