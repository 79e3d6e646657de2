// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/eval"
	"github.com/sluice-io/sluice/policy/policytest"
)

var (
	everything = Gives{DenyExec: true, KillExec: true, DenyCapability: true, KillCapability: true, DenyFile: true, KillFile: true}
	withoutLSM = Gives{KillExec: true, KillCapability: true, KillFile: true}
)

// summed are the files whose sums exec rules ask for, as if each were there.
func summed(c *policy.Cluster) (out []Program) {
	for _, p := range c.WorkloadPolicies {
		if p.Exec == nil {
			continue
		}
		for _, x := range p.Exec.Allow {
			if x.SHA256 != "" {
				out = append(out, Program{Paths: []string{x.Path}, SHA256: x.SHA256})
			}
		}
	}
	return out
}

// run is what a process runs as the kernel sees it.
type run struct {
	file  uint32 // id of its file, or of its path
	path  string
	image bool
	root  bool
}

// runOf is a program in a container whose files the agent has looked up: in is what
// the Image was made from.
func runOf(im *Image, in Input, p policy.Program) run {
	out := run{im.Paths[p.Path], p.Path, p.Image, p.Root}
	for i, f := range in.Programs {
		if p.SHA256 != "" && f.SHA256 == p.SHA256 && slices.Equal(f.Paths, []string{p.Path}) {
			out.file = im.Programs[i]
		}
	}
	return out
}

// programs are the ids by which a list is asked, every program's among them.
func (p run) programs(im *Image) []uint32 {
	if !p.image {
		return []uint32{0}
	}
	ids := []uint32{0, p.file}
	if p.root {
		ids = append(ids, ProgramOfImage)
	}
	folder := p.path[:strings.LastIndex(p.path, "/")+1]
	for at := range foldersAround(folder) {
		if f, ok := im.Folders[at]; ok { // the longest match
			ids = append(ids, f.Below)
			if at == folder {
				ids = append(ids, f.Files)
			}
			break
		}
	}
	return ids
}

// interpretAct answers an act as the comment of Image says.
func interpretAct(im *Image, heads [2]RuntimeHead, what uint32, by, parent run) (out eval.Response) {
	for i, head := range heads {
		if head.Action == ActionIgnore || permitted(im, head, what, by, parent) {
			continue
		}
		return eval.Response{Action: actionOf(head.Action), Audit: i == 1, Rule: im.Rules[head.Rule]}
	}
	return eval.Response{Action: policy.Ignore}
}

func permitted(im *Image, head RuntimeHead, what uint32, by, parent run) bool {
	parents := []uint32{0}
	if head.Parents {
		parents = parent.programs(im)
	}
	for _, p := range by.programs(im) {
		for _, q := range parents {
			if _, ok := im.Permits[Permit{head.List, what, p, q}]; ok {
				return true
			}
		}
	}
	return false
}

// actionOf is the action in eval's words, where what is observed is a Deny.
func actionOf(a Action) policy.Action {
	return map[Action]policy.Action{
		ActionAudit: policy.Report, ActionObserve: policy.Prevent, ActionDeny: policy.Prevent, ActionKill: policy.Kill,
	}[a]
}

// askActs asks an exec and a use of a capability of a pod, by its rule set and by the
// one that retires, halfway too.
func (o *oracle) askActs(r *rand.Rand, image, halfway *Image, pod policy.PodKey) error {
	exec, use := policytest.Exec(r), policytest.Capability(r)
	if err := o.askAct(image, image.Pods[pod], o.in, image, pod, exec, use); err != nil {
		return err
	}
	if err := o.askProgramActs(r, image, pod); err != nil {
		return err
	}
	if err := o.askFiles(r, image, halfway, pod); err != nil {
		return err
	}
	if o.image == nil || o.image.Closed[pod] != nil || !sameSubject(o.last.Cluster, o.c.Cluster, pod) {
		return nil
	}
	retiring := *o.c.Cluster
	retiring.WorkloadPolicies = o.last.Cluster.WorkloadPolicies
	now, before := o.in, o.before
	now.Cluster, before.Cluster = &retiring, &retiring
	for i, x := range []struct {
		tables, ids *Image
		in          Input
	}{{image, image, now}, {halfway, image, now}, {halfway, o.image, before}} {
		if err := o.askAct(x.tables, o.image.Pods[pod], x.in, x.ids, pod, exec, use); err != nil {
			return fmt.Errorf("retiring %d: %w", i, err)
		}
	}
	return nil
}

// askProgramActs asks about a file with several paths: a rule names it by any.
func (o *oracle) askProgramActs(r *rand.Rand, image *Image, pod policy.PodKey) error {
	if len(o.c.Programs) == 0 {
		return nil
	}
	i, in := r.IntN(len(o.c.Programs)), o.in
	in.Cluster = withAlias(in.Cluster, o.c.Programs[i], "/this/file")
	ids := *image
	ids.Paths = map[string]uint32{"/this/file": image.Programs[i]}
	exec, use := policytest.Exec(r), policytest.Capability(r)
	exec.Path, use.Path, exec.SHA256, use.SHA256 = "/this/file", "/this/file", "", ""
	if exec.Parent.Path != "" && r.IntN(2) == 0 {
		exec.Parent = exec.Program
	} else {
		exec.Parent = policy.Program{}
	}
	return o.askAct(image, image.Pods[pod], in, &ids, pod, exec, use)
}

// aliasActs names alias wherever one of paths is in a policy's runtime rules.
func aliasActs(p *policy.WorkloadPolicy, paths []string, alias policy.Process) {
	also := func(list []policy.Process) []policy.Process {
		if slices.ContainsFunc(list, func(p policy.Process) bool { return slices.Contains(paths, p.Path) }) {
			return append(slices.Clone(list), alias)
		}
		return list
	}
	if e := p.Exec; e != nil {
		copied := policy.Exec{ImageOnly: e.ImageOnly, Action: e.Action}
		for _, x := range e.Allow {
			x.Parents = also(x.Parents)
			copied.Allow = append(copied.Allow, x)
			if slices.Contains(paths, x.Path) {
				x.Process = alias
				copied.Allow = append(copied.Allow, x)
			}
		}
		p.Exec = &copied
	}
	if c := p.Capabilities; c != nil {
		copied := policy.Capabilities{Action: c.Action}
		for _, x := range c.Allow {
			x.Processes = also(x.Processes)
			copied.Allow = append(copied.Allow, x)
		}
		p.Capabilities = &copied
	}
}

// askAct compares what tables say of acts with eval; files are known by ids.
func (o *oracle) askAct(tables *Image, ruleSet uint32, in Input, ids *Image, pod policy.PodKey, exec policy.ExecAct, use policy.CapabilityAct) error {
	cluster, heads := in.Cluster, tables.RuleSets[ruleSet]
	if o.gives == withoutLSM {
		cluster = eval.WithoutLSM(cluster)
	}
	got := interpretAct(tables, heads.Exec, 0, runOf(ids, in, exec.Program), runOf(ids, in, exec.Parent))
	if diff := cmp.Diff(eval.Exec(cluster, pod, exec), got); diff != "" {
		return fmt.Errorf("%s, %+v: -eval +image:\n%s", pod, exec, diff)
	}
	got = interpretAct(tables, heads.Capabilities, 1+uint32(use.Capability), runOf(ids, in, use.Program), run{})
	if got.Action == policy.Kill && use.Unaudited {
		got.Action = policy.Prevent
	}
	if diff := cmp.Diff(eval.Capability(cluster, pod, use), got); diff != "" {
		return fmt.Errorf("%s, %+v: -eval +image:\n%s", pod, use, diff)
	}
	return nil
}

func acts(name, app string) *policy.WorkloadPolicy {
	p := workload(name, app)
	p.Fallback = policy.Observe
	return p
}

func exec(action policy.Action, allow ...string) *policy.Exec {
	e := &policy.Exec{Action: action}
	for _, path := range allow {
		e.Allow = append(e.Allow, policy.ExecRule{Process: policy.Process{Path: path}})
	}
	return e
}

// TestGiven: what an action comes to on a node that gives less.
func TestGiven(t *testing.T) {
	none := Gives{}
	for _, tt := range []struct {
		gives    Gives
		action   policy.Action
		fallback policy.Fallback
		want     Action
		closes   bool
	}{
		{everything, policy.Prevent, policy.Close, ActionDeny, false},
		{everything, policy.Kill, policy.Observe, ActionKill, false},
		{everything, policy.Report, policy.FallbackKill, ActionAudit, false},
		{withoutLSM, policy.Prevent, policy.Observe, ActionObserve, false},
		{withoutLSM, policy.Prevent, policy.FallbackKill, ActionKill, false},
		{withoutLSM, policy.Prevent, policy.Close, ActionObserve, true},
		{withoutLSM, policy.Kill, policy.Close, ActionKill, false},
		{withoutLSM, policy.Report, policy.Close, ActionAudit, false},
		{none, policy.Kill, policy.FallbackKill, ActionObserve, false},
		{none, policy.Kill, policy.Close, ActionObserve, true},
	} {
		for name, f := range map[string]func(policy.Action, policy.Fallback) (Action, bool){
			"exec": tt.gives.Exec, "capability": tt.gives.Capability, "file": tt.gives.File,
		} {
			if got, closes := f(tt.action, tt.fallback); got != tt.want || closes != tt.closes {
				t.Errorf("%+v of %+v is %d, %t", name, tt, got, closes)
			}
		}
	}
	p := acts("w", "web")
	p.Exec, p.Fallback = exec(policy.Prevent), policy.Close
	audit := acts("a", "db")
	audit.Exec, audit.Fallback, audit.Mode = exec(policy.Prevent), policy.Close, policy.Audit
	in := shop(p, audit)
	in.Gives = withoutLSM
	c := New(new(IDs))
	im := mustCompile(t, c, in)
	want := map[policy.PodKey][]policy.Ref{web: {p.Ref()}}
	if diff := cmp.Diff(want, im.Closed); diff != "" || im.Pods[web] != RuleSetClosed || im.Pods[db] == RuleSetClosed {
		t.Errorf("pods %v; closed: -want +got:\n%s", im.Pods, diff)
	}
	in.Gives = everything
	if im = mustCompile(t, c, in); len(im.Closed) != 0 || im.RuleSets[im.Pods[web]].Exec[0].Action != ActionDeny {
		t.Errorf("with LSM: closed %v, %+v", im.Closed, im.RuleSets[im.Pods[web]])
	}
}

// TestFolders: one lookup finds every pattern, and what a list says of a pattern it says
// of those within it.
func TestFolders(t *testing.T) {
	wide, deep := acts("wide", "web"), acts("deep", "db")
	wide.Exec = exec(policy.Kill, "/usr/**", "/usr/lib/*")
	deep.Exec = exec(policy.Kill, "/usr/lib/git/**", "/usr/lib/git/git")
	deep.Exec.Allow[1].SHA256 = strings.Repeat("*", 31) + "/"
	im := mustCompile(t, New(new(IDs)), shop(wide, deep))
	usr, git := im.Folders["/usr/"].Below, im.Folders["/usr/lib/git/"].Below
	want := map[string]Folder{"/usr/": {0, usr}, "/usr/lib/": {im.Folders["/usr/lib/"].Files, usr}, "/usr/lib/git/": {0, git}}
	if diff := cmp.Diff(want, im.Folders); diff != "" || usr == 0 || git == 0 || want["/usr/lib/"].Files == 0 || len(im.Paths) != 0 {
		t.Errorf("paths %v; folders: -want +got:\n%s", im.Paths, diff)
	}
	lists := [2]uint32{im.RuleSets[im.Pods[web]].Exec[0].List, im.RuleSets[im.Pods[db]].Exec[0].List}
	for _, tt := range []struct {
		list, program uint32
		want          bool
	}{{lists[0], usr, true}, {lists[0], git, true}, {lists[1], usr, false}, {lists[1], git, true}} {
		if _, ok := im.Permits[Permit{List: tt.list, Program: tt.program}]; ok != tt.want {
			t.Errorf("list %d allows program %d: %t", tt.list, tt.program, ok)
		}
	}
}

// TestSums: a file with a sum is another program than its path, whatever other names
// it has.
func TestSums(t *testing.T) {
	good, bad := strings.Repeat("a", 32), strings.Repeat("b", 32)
	p := acts("w", "web")
	p.Exec = exec(policy.Kill, "/bin/a", "/bin/b")
	p.Exec.Allow[0].SHA256 = good
	p.Exec.Allow[1].Parents = []policy.Process{{Path: "/bin/c"}}
	in := shop(p)
	program := func(sum string, paths ...string) Program { return Program{Paths: paths, SHA256: sum} }
	in.Programs = []Program{program(good, "/bin/a"), program(bad, "/bin/a"), program("", "/bin/a"), program(good, "/bin/c", "/bin/a")}
	im := mustCompile(t, New(new(IDs)), in)
	head := im.RuleSets[im.Pods[web]].Exec[0]
	_, alone := im.Permits[Permit{List: head.List, Program: im.Programs[0]}]
	_, linked := im.Permits[Permit{List: head.List, Program: im.Programs[3]}]
	_, by := im.Permits[Permit{List: head.List, Program: im.Paths["/bin/b"], Parent: im.Programs[3]}]
	if !alone || !linked || !by || !head.Parents || im.Programs[1] != 0 || im.Programs[2] != 0 || im.Paths["/bin/a"] != 0 {
		t.Errorf("programs %v, paths %v, permits %v", im.Programs, im.Paths, im.Permits)
	}
}
