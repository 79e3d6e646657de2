// SPDX-License-Identifier: Apache-2.0

// Package arch guards the shape of the tree: which package may import which, what
// stands at the top level, and that every BPF object is loaded by a test.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-io/sluice"

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	DepOnly    bool
}

// list is every package of the module and what they depend on.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,DepOnly", module+"/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := make(map[string]pkg)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

func under(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool {
		d = strings.TrimSuffix(d, "/")
		return path == d || strings.HasPrefix(path, d+"/")
	})
}

// in says which folder of the module a package lies in.
func in(path string, dirs ...string) bool {
	for _, d := range dirs {
		if under(path, module+"/"+d) {
			return true
		}
	}
	return false
}

// arrow says what the packages of a folder may import beside the standard library.
type arrow struct {
	from    string
	except  []string // folders below it with arrows of their own
	own     []string // folders of this module
	foreign []string // prefixes of other modules
}

var arrows = []arrow{
	{from: "policy", except: []string{"policy/v1alpha1", "policy/manifest"}, own: []string{"policy"}},
	{from: "policy/v1alpha1", own: []string{"policy"}, foreign: []string{"k8s.io/api", "k8s.io/apimachinery"}},
	{
		from: "policy/manifest", own: []string{"policy"},
		foreign: []string{"k8s.io/api", "k8s.io/apimachinery", "sigs.k8s.io/yaml", "sigs.k8s.io/json", "sigs.k8s.io/network-policy-api", "go.yaml.in/yaml/v2"},
	},
	{from: "bpf", except: []string{"bpf/bpftest"}, own: []string{"bpf"}, foreign: []string{"github.com/cilium/ebpf"}},
	{
		from: "plugin", own: []string{"agent/rpc", "bpf"},
		foreign: []string{"github.com/containernetworking", "github.com/vishvananda/netlink", "golang.org/x/sys"},
	},
	{from: "agent/rpc", foreign: []string{"golang.org/x/sys"}},
	{from: "agent/datapath", own: []string{"policy", "bpf"}, foreign: []string{"github.com/cilium/ebpf", "github.com/vishvananda/netlink", "golang.org/x/sys", "golang.org/x/sync"}},
}

func TestArrows(t *testing.T) {
	all := list(t)
	for _, a := range arrows {
		for path, p := range all {
			if !in(path, a.from) || in(path, a.except...) {
				continue
			}
			for _, dep := range p.Imports {
				d, known := all[dep]
				ok := known && d.Standard || dep == "unsafe" || dep == "C" || in(dep, a.own...) || under(dep, a.foreign...)
				if !ok {
					t.Errorf("%s imports %s", path, dep)
				}
			}
		}
	}
}

// policy is pure: nothing that it depends on opens files, sockets or clocks for it.
func TestPolicyIsPure(t *testing.T) {
	for path, p := range list(t) {
		if !in(path, "policy") {
			continue
		}
		for _, dep := range p.Imports {
			if slices.Contains([]string{"os", "net", "net/http", "time", "syscall", "os/exec"}, dep) {
				t.Errorf("%s imports %s", path, dep)
			}
		}
	}
}

// Only agent/datapath, the composition root and the plugin know bpf; nobody but
// agent/kube, which is to come, knows a Kubernetes client.
func TestWhoKnowsTheKernel(t *testing.T) {
	for path, p := range list(t) {
		if !in(path, "agent", "plugin", "policy") {
			continue
		}
		for _, dep := range p.Imports {
			if in(dep, "bpf") && !in(path, "agent/datapath", "agent/engine", "plugin") && path != module+"/agent" {
				t.Errorf("%s imports %s", path, dep)
			}
			if under(dep, "k8s.io/client-go") && !in(path, "agent/kube") {
				t.Errorf("%s imports %s", path, dep)
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	want := []string{".ci", ".clang-format", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md",
		"agent", "bpf", "conf", "docs", "go.mod", "go.sum", "plugin", "policy", "test"}
	out, err := exec.Command("git", "-C", root(t), "ls-files").Output()
	if err != nil {
		t.Skipf("git ls-files: %v", err)
	}
	for _, file := range strings.Fields(string(out)) {
		if top, _, _ := strings.Cut(file, "/"); !slices.Contains(want, top) {
			t.Errorf("%s is not a top-level name", top)
		}
	}
}

// Every program under bpf/ has a test in its folder that loads it.
func TestEveryObjectIsTested(t *testing.T) {
	sources, err := filepath.Glob(filepath.Join(root(t), "bpf", "*", "*.bpf.c"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("sources = %v, %v", sources, err)
	}
	for _, src := range sources {
		if tests, _ := filepath.Glob(filepath.Join(filepath.Dir(src), "*_test.go")); len(tests) == 0 {
			t.Errorf("%s has no test beside it", src)
		}
		b, err := os.ReadFile(src)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(b), "\n"); lines > 300 {
			t.Errorf("%s has %d lines", src, lines)
		}
		if !strings.HasPrefix(string(b), "//go:build ignore\n") {
			t.Errorf("%s is not kept from the Go build", src)
		}
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
