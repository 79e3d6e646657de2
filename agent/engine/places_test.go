// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

func found(ino uint64, path string) datapath.Resolution {
	return datapath.Resolution{File: datapath.File{Ino: ino}, Path: path}
}

// TestGroupUses: a file is known by the paths that lead to it and by where it lies, as a
// program only if it is what the container began with; so is a folder.
func TestGroupUses(t *testing.T) {
	want := namedBy(&policy.Cluster{WorkloadPolicies: []*policy.WorkloadPolicy{{
		Namespace: "default",
		Exec:      &policy.Exec{Allow: []policy.ExecRule{{Process: policy.Process{Path: "/bin/sh"}}, {Process: policy.Process{Path: "/bin/pay"}}}},
		Files: []policy.FileRule{{
			Paths: []string{"/bin/sh", "/bin/pay", "/etc/key", "/none", "/var/run/a/*", "/var/run/a/**", "/links/b/*"},
			Allow: []policy.Process{{Path: "/bin/cat"}},
		}},
	}}})
	on := want.on(policy.PodKey{Namespace: "default", Name: "a"})
	if diff := gocmp.Diff([]string{"/links/b/", "/var/run/a/"}, on.places); diff != "" || !slices.Contains(want.paths, "/bin/cat") {
		t.Errorf("paths %v; folders: -want +got:\n%s", want.paths, diff)
	}
	c := &contents{
		wanted: on,
		Paths:  map[string]datapath.Resolution{"/bin/sh": found(1, "/bin/sh"), "/bin/pay": {Why: "changed"}, "/bin/cat": found(4, "/bin/cat")},
		Uses: map[string]datapath.Resolution{
			"/bin/sh": found(1, "/bin/sh"), "/bin/pay": found(2, "/bin/pay"), "/etc/key": found(3, "/data/key"), "/none": {Why: "none"},
		},
		Places: map[string]datapath.Resolution{"/var/run/a/": found(5, "/run/a"), "/links/b/": {Why: "none"}},
	}
	f := &files{containers: map[uint64]*contents{1: c}}
	if !c.has(want) {
		t.Error("not all is looked up")
	}
	f.group(want)
	f.groupPlaces()
	byName := func(a, b compile.Program) int {
		return cmp.Compare(strings.Join(a.Files, ""), strings.Join(b.Files, ""))
	}
	slices.SortFunc(f.programs, byName)
	programs := []compile.Program{
		{Paths: []string{"/bin/cat"}},
		{Files: []string{"/bin/pay"}},
		{Paths: []string{"/bin/sh"}, Files: []string{"/bin/sh"}},
		{Files: []string{"/data/key", "/etc/key"}},
	}
	if diff := gocmp.Diff(programs, f.programs); diff != "" {
		t.Errorf("files: -want +got:\n%s", diff)
	}
	if diff := gocmp.Diff([][]string{{"/run/a/", "/var/run/a/"}}, f.places); diff != "" {
		t.Errorf("folders: -want +got:\n%s", diff)
	}
	if c.elsewhere() {
		t.Error("/var/run is /run in every image")
	}
	c.Places["/links/b/"] = found(6, "/data/b")
	if !c.elsewhere() {
		t.Error("/links/b is elsewhere")
	}
	delete(c.Uses, "/none")
	if c.has(want) {
		t.Error("/none is not looked up")
	}
}
