// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
)

// fileUses are the operations, in the words of the probe, with what it looks like if one
// has taken effect.
var fileUses = []struct {
	operation, by string
	unseen        bool // without BPF LSM
	happened      func(file, trace string) bool
}{
	{"Read", "Read", false, func(_, trace string) bool { return contentOf(trace) == secret }},
	{"Write", "Write", false, func(file, _ string) bool { return contentOf(file) != secret }},
	{"Create", "Create", false, func(file, _ string) bool { return contentOf(file) != missing }},
	{"Delete", "Delete", true, func(file, _ string) bool { return contentOf(file) == missing }},
	{"Rename", "Rename", true, func(_, trace string) bool { return contentOf(trace) == secret }},
	{"Link", "Link", true, func(_, trace string) bool { return contentOf(trace) == secret }},
	{"Chmod", "Chmod", true, func(file, _ string) bool { return statOf(file).Mode&0o777 == 0o777 }},
	{"Chown", "Chown", true, func(file, _ string) bool { return statOf(file).Uid == 1 }},
	{"MountOver", "MountOver", true, func(_, trace string) bool { return contentOf(trace) != missing }},
	{"MmapExec", "MmapExec", true, func(_, trace string) bool { return contentOf(trace) != missing }},
	{"Truncate", "Truncate", true, func(file, _ string) bool { return contentOf(file) == "" }},
	{"Truncate", "OpenTruncate", true, func(file, _ string) bool { return contentOf(file) == "" }},
}

const secret, missing = "secret", "there is no such file"

func contentOf(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return missing
	}
	return string(b)
}

func statOf(path string) (st syscall.Stat_t) {
	_ = syscall.Stat(path, &st) // of a file that is not there nothing is known
	return st
}

// guarded is a folder for each use, with rules on what lies below.
type guarded struct {
	*restricted
	folder string
}

// file is what a use is to be tried on, and where its trace will be.
func (g *guarded) file(use, name string) (file, trace string) {
	g.Helper()
	file, trace = filepath.Join(g.folder, use, name), filepath.Join(g.dir, use+"-"+name)
	if use == "Create" {
		return file, trace
	}
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		g.Fatal(err)
	}
	return file, trace
}

// policy has a rule for each use, with the same action.
func (g *guarded) policy(action string) string {
	var rules []string
	for _, u := range fileUses {
		rules = append(rules, fmt.Sprintf(`{paths: ["%s/**"], operations: [%s], allow: [%s], action: %s}`,
			filepath.Join(g.folder, u.by), u.operation, entry(g.b), action))
	}
	return workload("files: {rules: [" + strings.Join(rules, ", ") + "]}")
}

// told are the events with an outcome of uses of a file.
func (g *guarded) told(detail, outcome string) []rpc.Event {
	return slices.DeleteFunc(g.events(g.client, "file"), func(e rpc.Event) bool {
		return e.Outcome != outcome || e.Detail != detail
	})
}

// TestFileRules: who is not allowed to use a file does not, or runs no further, or is seen.
func TestFileRules(t *testing.T) {
	t.Parallel()
	g := &guarded{restricted: newRestricted(t)}
	g.folder = filepath.Join(g.dir, "guarded")
	for _, u := range fileUses {
		if err := os.MkdirAll(filepath.Join(g.folder, u.by), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range fileUses {
		file, trace := g.file(u.by, "before")
		g.expectOf(ok, g.client, g.a, "use", u.by, file, trace)
		if !u.happened(file, trace) {
			t.Errorf("no policy: %s has not happened", u.by)
		}
	}
	for _, tc := range []struct {
		action  string
		ends    int // where the node has BPF LSM
		outcome string
		without int // where it has not, of uses that are seen
		seen    string
	}{
		{"Audit", ok, "audited", ok, "audited"},
		{"Deny", eperm, "denied", ok, "observed"},
		{"Kill", killed, "killed", killed, "killed"},
	} {
		g.put("WorkloadPolicy", g.policy(tc.action))
		rules := g.status().Policies[0].Rules
		for i, u := range fileUses {
			g.run(tc.action+"/"+u.by, func(w *world) {
				g := &guarded{g.on(w), g.folder}
				ends, outcome := tier(g.restricted, tc.ends, tc.without), tier(g.restricted, tc.outcome, tc.seen)
				file, trace := g.file(u.by, tc.action)
				unseen := u.unseen && !g.full
				if unseen {
					ends = ok
				}
				g.expectOf(ends, g.client, g.a, "use", u.by, file, trace)
				// Without LSM a process is killed on its way out of the system call.
				late := !g.full && u.by == "Create"
				if want := ends == ok || late; u.happened(file, trace) != want {
					w.Errorf("it happened: %t", !want)
				}
				wantRule(w, rules[i], outcome, unseen)
				if unseen {
					return
				}
				detail := u.operation + " of " + file
				w.until("it is told", func() bool { return len(g.told(detail, outcome)) > 0 })
				if e := g.told(detail, outcome)[0]; e.Rule == nil || e.Rule.Index != i || e.Process.Path != g.a {
					w.Errorf("told as %+v", e)
				}
			})
		}
		for _, u := range fileUses {
			file, trace := g.file(u.by, tc.action+"-allowed")
			g.expectOf(ok, g.client, g.b, "use", u.by, file, trace)
		}
	}
	g.kill9()
	file, trace := g.file("Read", "without agent")
	g.expectOf(killed, g.client, g.a, "use", "Read", file, trace)
	g.expectOf(ok, g.client, g.b, "use", "Read", file, trace)
}

// wantRule wants status to tell what a rule comes to, and why it is not what it asks for.
func wantRule(w *world, r rpc.RuleStatus, outcome string, unseen bool) {
	w.Helper()
	if unseen && outcome != "audited" {
		outcome = "observed"
	}
	if r.Section != "files" || r.Outcome != outcome || strings.Contains(r.Reason, "see") != unseen {
		w.Errorf("status says %+v", r)
	}
}

// TestFileBehindLink: rules on a path that leads through a link are on what is there, as
// soon as the agent has looked.
func TestFileBehindLink(t *testing.T) {
	t.Parallel()
	g := &guarded{restricted: newRestricted(t)}
	if gives := g.outcomeOfRead(); gives != "killed" {
		skip(t, "reads are "+gives+" here")
	}
	g.folder = filepath.Join(g.dir, "real")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(g.folder, "Read"), 0o755), os.Symlink("real/Read", filepath.Join(g.dir, "link")),
		os.Mkdir(filepath.Join(g.folder, "key"), 0o755), os.Symlink("real/key/key", filepath.Join(g.dir, "key")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	key, keyTrace := filepath.Join(g.folder, "key", "key"), filepath.Join(g.dir, "trace")
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	file, trace := g.file("Read", "file")
	g.expectOf(ok, g.client, g.a, "use", "Read", file, trace)
	g.expectOf(ok, g.client, g.a, "use", "Read", key, keyTrace)
	g.keep(g.client, g.first, "sleep", "1h") // its container can be looked into
	g.put("WorkloadPolicy", workload(fmt.Sprintf(`files: {rules: [{paths: ["%s/link/*", %[1]s/key], operations: [Read], action: Kill}]}`, g.dir)))
	g.until("the link is followed", func() bool { return strings.Contains(g.status().Policies[0].Rules[0].Note, g.folder) })
	for file, trace := range map[string]string{file: trace + "2", key: keyTrace + "2"} {
		g.expectEnd(killed, g.client.CommandIn(t.Context(), "sleep", g.a, "use", "Read", file, trace))
		if exists(t, trace) {
			t.Errorf("%s was read", file)
		}
	}
}

// outcomeOfRead is what Kill for reads comes to here.
func (g *guarded) outcomeOfRead() string {
	g.Helper()
	g.put("WorkloadPolicy", workload("files: {rules: [{paths: [/etc/shadow], operations: [Read], action: Kill}]}"))
	defer g.remove("WorkloadPolicy")
	return g.gives()
}
