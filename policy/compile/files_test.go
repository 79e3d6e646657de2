// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/eval"
	"github.com/sluice-io/sluice/policy/policytest"
)

// fileIDs are the ids that a file has, in the order in which they are asked: own is that
// of the file, if the agent has found it, and patterns those of its folder.
func fileIDs(own uint32, patterns [2]uint32) []uint32 {
	return slices.DeleteFunc([]uint32{own, patterns[0], patterns[1]}, func(id uint32) bool { return id == 0 })
}

// patternsOf are the ids of the patterns for what lies in a file's folder.
func patternsOf(im *Image, path string) (out [2]uint32) {
	folder := path[:strings.LastIndex(path, "/")+1]
	for at := range foldersAround(folder) {
		if f, ok := im.Folders[at]; ok { // the longest match
			if at == folder {
				out[0] = f.Files
			}
			out[1] = f.Below
			break
		}
	}
	return out
}

// interpretFile answers a use of a file as the comment of Image says.
func interpretFile(im *Image, lists [2]uint32, operation policy.Operations, file []uint32, by run) eval.Response {
	for i, list := range lists {
		for _, id := range file {
			head, ok := im.FileRules[FileKey{list, id, uint32(bits.TrailingZeros16(uint16(operation)))}]
			if !ok {
				continue
			}
			if !permitted(im, head, 0, by, run{}) {
				return eval.Response{Action: actionOf(head.Action), Audit: i == 1, Rule: im.Rules[head.Rule]}
			}
			break
		}
	}
	return eval.Response{Action: policy.Ignore}
}

// askFiles asks a use of a file of a pod, by its rule set and by the one that retires,
// halfway too.
func (o *oracle) askFiles(r *rand.Rand, image, halfway *Image, pod policy.PodKey) error {
	use := policytest.File(r)
	if err := o.askFile(image, image.RuleSets[image.Pods[pod]].Files, o.in.Cluster, pod, use,
		fileIDs(image.Paths[use.File], patternsOf(image, use.File))); err != nil {
		return err
	}
	if o.image == nil || o.image.Closed[pod] != nil || !sameSubject(o.last.Cluster, o.c.Cluster, pod) {
		return nil
	}
	retiring := *o.c.Cluster
	retiring.WorkloadPolicies = o.last.Cluster.WorkloadPolicies
	lists := o.image.RuleSets[o.image.Pods[pod]].Files
	for i, x := range []struct{ tables, ids *Image }{{image, image}, {halfway, image}, {halfway, o.image}, {halfway, halfway}} {
		file := fileIDs(x.ids.Paths[use.File], patternsOf(x.ids, use.File))
		if err := o.askFile(x.tables, lists, &retiring, pod, use, file); err != nil {
			return fmt.Errorf("retiring %d: %w", i, err)
		}
	}
	return nil
}

// askFile compares what tables say of a use of a file with eval.
func (o *oracle) askFile(tables *Image, lists [2]uint32, cluster *policy.Cluster, pod policy.PodKey, use policy.FileAct, file []uint32) error {
	if o.gives == withoutLSM {
		cluster = eval.WithoutLSM(cluster)
	}
	got := interpretFile(tables, lists, use.Operation, file, run{tables.Paths[use.Path], use.Path, use.Image, use.Root})
	if diff := cmp.Diff(eval.File(cluster, pod, use), got); diff != "" {
		return fmt.Errorf("%s, %+v: -eval +image:\n%s", pod, use, diff)
	}
	return nil
}

func guarding(name, app string, rules ...policy.FileRule) *policy.WorkloadPolicy {
	p := acts(name, app)
	p.Files = rules
	return p
}

func onFiles(action policy.Action, allow string, paths ...string) policy.FileRule {
	r := policy.FileRule{Paths: paths, Operations: policy.OpRead | policy.OpLink, Action: action}
	if allow != "" {
		r.Allow = []policy.Process{{Path: allow}}
	}
	return r
}

// TestLinkedFiles: a file, or a folder, that several paths lead to is what each of them
// is to the rules, and of those on files it is so whoever put it there.
func TestLinkedFiles(t *testing.T) {
	p := guarding("w", "web",
		onFiles(policy.Report, "/bin/a", "/etc/link"), onFiles(policy.Kill, "/bin/b", "/data/**"),
		onFiles(policy.Prevent, "", "/etc/*"), onFiles(policy.Prevent, "/bin/c", "/links/folder/*"))
	p.Exec = exec(policy.Kill, "/etc/link")
	in := shop(p)
	in.Gives = everything
	in.Programs = []Program{
		{Paths: []string{"/etc/link"}, Files: []string{"/etc/link"}},             // itself
		{Files: []string{"/etc/link"}},                                           // put there by the pod
		{Paths: []string{"/etc/link"}, Files: []string{"/etc/link", "/data/to"}}, // a link
		{Files: []string{"/data/to"}},
		{Files: []string{"/etc/link", "/etc/to"}},
	}
	in.Places = [][]string{{"/data/"}, {"/links/folder/", "/data/x/"}, {"/none/"}}
	im := mustCompile(t, New(new(IDs)), in)
	rs := im.RuleSets[im.Pods[web]]
	data, folder := im.Folders["/data/"].Below, im.Folders["/links/folder/"].Files
	if im.Programs[0] != im.Paths["/etc/link"] || im.Programs[3] != 0 || im.Places[0] != (Folder{0, data}) ||
		im.Places[1].Files == folder || im.Places[1].Below != data || im.Places[2] != (Folder{}) {
		t.Fatalf("programs %v, places %v of %v, %v", im.Programs, im.Places, im.Folders, im.Paths)
	}
	for i, want := range []bool{true, false, true, false, false} {
		if _, ok := im.Permits[Permit{List: rs.Exec[0].List, Program: im.Programs[i]}]; ok != want {
			t.Errorf("file %d may run: %t", i, ok)
		}
	}
	for _, tt := range []struct {
		name   string
		file   uint32
		action Action
		rule   int
		allows []string
	}{
		{"itself", im.Programs[0], ActionDeny, 2, []string{"/bin/a"}},
		{"put there", im.Programs[1], ActionDeny, 2, []string{"/bin/a"}},
		{"link", im.Programs[2], ActionKill, 1, []string{"/bin/a", "/bin/b"}},
		{"link to its own folder", im.Programs[4], ActionDeny, 2, []string{"/bin/a"}},
		{"folder", folder, ActionDeny, 3, []string{"/bin/c"}},
		{"folder with two paths", im.Places[1].Files, ActionKill, 1, []string{"/bin/b", "/bin/c"}},
		{"no path", FileUnknown, ActionKill, 1, nil},
	} {
		head := im.FileRules[FileKey{rs.Files[0], tt.file, uint32(bits.TrailingZeros16(uint16(policy.OpLink)))}]
		if head.Action != tt.action || im.Rules[head.Rule].Index != tt.rule {
			t.Errorf("%s: %+v by rule %d", tt.name, head, im.Rules[head.Rule].Index)
		}
		for _, program := range []string{"/bin/a", "/bin/b", "/bin/c"} {
			if got := permitted(im, head, 0, run{im.Paths[program], program, true, true}, run{}); got != slices.Contains(tt.allows, program) {
				t.Errorf("%s: left to %s: %t", tt.name, program, got)
			}
		}
	}
	if _, ok := im.FileRules[FileKey{rs.Files[0], im.Programs[0], 1}]; ok {
		t.Error("a rule on reads and links has something to say of writes")
	}
}

// TestUsualLinks: what nearly every image has as a link is guarded where it leads.
func TestUsualLinks(t *testing.T) {
	im := mustCompile(t, New(new(IDs)), shop(guarding("w", "web", onFiles(policy.Kill, "", "/var/run/secrets/**", "/bin/su"))))
	list := im.RuleSets[im.Pods[web]].Files[0]
	for _, id := range []uint32{im.Folders["/run/secrets/"].Below, im.Folders["/var/run/secrets/"].Below, im.Paths["/usr/bin/su"], im.Paths["/bin/su"]} {
		if _, ok := im.FileRules[FileKey{List: list, File: id}]; id == 0 || !ok {
			t.Errorf("file %d is not guarded", id)
		}
	}
}
