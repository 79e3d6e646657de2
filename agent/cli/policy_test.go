// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy/manifest"
)

const (
	podsYAML = `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
status: {podIP: 10.0.0.2}
`
	rulesYAML = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {}}
  egress:
  - action: Deny
    to: [{networks: [192.0.2.0/24]}]
---
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, mode: Audit, ingress: {}}
`
	traceText = `shop/web (10.0.0.1) → shop/db (10.0.0.2) 80/TCP: denied

egress of shop/web: allowed: no policy isolates the pod on egress or denies it
  Admin: no-match
    ClusterNetworkPolicy/-/guard, priority 5
      [0] Deny: does not match: peer 10.0.0.2 is pod shop/db, not in ipBlock 192.0.2.0/24
  NetworkPolicy: not-isolated
  WorkloadPolicy: not-isolated
  Baseline: no-match

ingress of shop/db: denied: isolated on ingress, and no NetworkPolicy allows it
  Admin: no-match
  NetworkPolicy: default-deny
    NetworkPolicy/shop/db
      [0] Accept: does not match: port 80/TCP, not 5432/TCP
  WorkloadPolicy: not-isolated
  Baseline: not-asked (a NetworkPolicy isolates the pod on ingress)
`
	explainText = `pod shop/db

egress: isolated by nothing
LAYER  ACTION  PEERS                 PORTS  PROCESSES  RULE                         NOTE
Admin  Deny    ipBlock 192.0.2.0/24  all    all        ClusterNetworkPolicy/-/guard[0]  -
otherwise allowed: nothing isolates the pod in this direction

ingress: isolated by NetworkPolicy/shop/db
LAYER          ACTION  PEERS                                  PORTS     PROCESSES  RULE                      NOTE
NetworkPolicy  Accept  podSelector app=web in namespace shop  5432/TCP  all        NetworkPolicy/shop/db[0]  -
otherwise denied: a NetworkPolicy must allow it

exec: restricted by nothing

capabilities: restricted by nothing

files: restricted by nothing
`
	runtimeYAML = `---
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  fallback: Kill
  exec: {allow: [{path: /usr/bin/postgres}, {path: /bin/sh, parents: [{path: /usr/bin/*}]}]}
  capabilities: {allow: [{names: [NET_RAW, CHOWN], processes: [{path: /usr/bin/postgres}]}, {names: [KILL]}], action: Kill}
---
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: audit, namespace: shop}
spec: {mode: Audit, exec: {allow: [{path: /bin/id}], action: Kill}}
`
	runtimeText = `exec: restricted by WorkloadPolicy/shop/audit (Kill; Audit: only reported), WorkloadPolicy/shop/db (Deny, without BPF LSM Kill)
PROGRAM            PARENTS     POLICY                     NOTE
/bin/id            all         WorkloadPolicy/shop/audit  Audit: only reported
/usr/bin/postgres  all         WorkloadPolicy/shop/db     -
/bin/sh            /usr/bin/*  WorkloadPolicy/shop/db     -
otherwise denied

capabilities: restricted by WorkloadPolicy/shop/db (Kill)
CAPABILITIES    PROGRAMS           POLICY                  NOTE
CHOWN, NET_RAW  /usr/bin/postgres  WorkloadPolicy/shop/db  -
KILL            all                WorkloadPolicy/shop/db  -
otherwise killed

files: restricted by nothing
`
)

// mustFolder makes files and goes where they are.
func mustFolder(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// squeeze leaves one of several spaces within a line: columns grow with their cells.
func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		indent := len(l) - len(strings.TrimLeft(l, " "))
		lines[i] = l[:indent] + strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

func TestPolicyOffline(t *testing.T) {
	nowhere := strings.Replace(rulesYAML, "matchLabels: {app: web}}}]", "matchLabels: {app: none}}}]", 1)
	mustFolder(t, map[string]string{
		"all/pods.yaml": podsYAML, "all/rules.yml": rulesYAML, "pods/pods.yaml": podsYAML,
		"twice/a.yaml": podsYAML, "twice/b.yaml": podsYAML, "broken/a.yaml": podsYAML + "---\nkind: Pod\n", "empty/a.txt": "",
		"good.yaml": rulesYAML, "bad.yaml": nowhere,
	})
	const finding = "podSelector app=none in namespace shop selects no pod of the cluster"
	for _, tt := range []struct {
		args   string
		stdin  string
		code   int
		stdout string // all of it but for the columns' width, if not empty
		stderr string // within it; empty: nothing
	}{
		{"trace --manifests all --from shop/web --to shop/db --port 80", "", 10, traceText, "sluice: denied\n"},
		{"trace --manifests all --from shop/web --to shop/db --port 5432", "", 0, "", ""},
		{"trace --manifests all --from 192.0.2.1 --to shop/web --port 80", "", 0, "", ""}, // audit-denied
		{"trace --manifests all --from shop/web --to shop/none --port 80", "", 1, "", "pod shop/none is not known"},
		{"trace --manifests twice --from shop/web --to shop/db --port 80", "", 1, "", "twice/b.yaml: documents[0]: Pod/shop/web stands in twice/a.yaml: documents[0] already"},
		{"trace --manifests broken --from shop/web --to shop/db --port 80", "", 1, "", "broken/a.yaml: documents[2]: "},
		{"trace --manifests none --from shop/web --to shop/db --port 80", "", 1, "", "none"},
		{"trace --manifests empty --from shop/web --to shop/db --port 80", "", 1, "", "no objects found in empty"},
		{"trace --manifests all --from shop/web --to shop/db", "", 2, "", "name both ends and the port"},
		{"trace --manifests all --from web --to shop/db --port x/y", "", 2, "", `sluice: --port: "x/y": write a port such as 443`},
		{"trace --manifests all --from service/shop/web --to shop/db --port 1", "", 2, "", "--from: a Service begins no connection"},
		{"trace all --from shop/web --to shop/db --port 80", "", 2, "", "all"},
		{"explain shop/db --manifests all", "", 0, explainText, ""},
		{"explain shop/none --manifests all", "", 1, "", "pod shop/none is not known"},
		{"explain web --manifests all", "", 2, "", `"web": write NAMESPACE/POD`},
		{"explain", "", 2, "", "accepts 1 arg"},
		{"lint --manifests all", "", 0, "nothing found\n", ""},
		{"lint good.yaml", "", 0, "nothing found\n", ""},
		{"lint bad.yaml", "", 0, "nothing found\n", ""}, // no pods are known
		{"lint bad.yaml --manifests all", "", 3, "SEVERITY POLICY FIELD FINDING\nwarning NetworkPolicy/shop/db spec.ingress[0].from[0] " + finding + ": compare it with the pods' and namespaces' labels and accounts\n", "findings: 1"},
		{"lint good.yaml --manifests pods", "", 0, "nothing found\n", ""},
		{"lint pods good.yaml", "", 0, "nothing found\n", ""},
		{"lint - --manifests pods", nowhere, 3, "", "findings: 1"},
		{"lint pods --manifests broken", "", 1, "", "broken/a.yaml: documents[2]: "},
		{"lint good.yaml all/rules.yml", "", 1, "", "remove one of the two"},
		{"lint none.yaml", "", 1, "", "none.yaml"},
		{"lint --manifests all -o json", "", 0, `{"items":[]}` + "\n", ""},
		{"", "", 2, "", "name one of explain, trace and lint"},
		{"frobnicate", "", 2, "", `unknown command "frobnicate" for "sluice policy"`},
	} {
		code, stdout, stderr := sluice(t, Local{}, tt.stdin, append([]string{"policy"}, strings.Fields(tt.args)...)...)
		if code != tt.code {
			t.Errorf("%s = %d, want %d", tt.args, code, tt.code)
		}
		if diff := cmp.Diff(squeeze(tt.stdout), squeeze(stdout)); tt.stdout != "" && diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.args, diff)
		}
		if tt.stderr == "" && stderr != "" || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s says\n%swant %q in it", tt.args, stderr, tt.stderr)
		}
	}
}

// TestExplainRuntime: the rules for what programs do stand below those of the network.
func TestExplainRuntime(t *testing.T) {
	mustFolder(t, map[string]string{"all/pods.yaml": podsYAML, "all/rules.yaml": runtimeYAML})
	code, stdout, stderr := sluice(t, Local{}, "", "policy", "explain", "shop/db", "--manifests", "all")
	if code != 0 {
		t.Fatalf("explain = %d: %s", code, stderr)
	}
	i := max(strings.Index(stdout, "exec:"), 0)
	if diff := cmp.Diff(squeeze(runtimeText), squeeze(stdout[i:])); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestPolicyJSON: each command prints one object, with the names that users rely on.
func TestPolicyJSON(t *testing.T) {
	mustFolder(t, map[string]string{"all/pods.yaml": podsYAML, "all/rules.yaml": rulesYAML})
	for args, want := range map[string]struct {
		code int
		has  []string
	}{
		"trace --from shop/web --to 192.0.2.1 --port 80": {10, []string{
			`{"verdict":"denied","notes":[],"paths":[{"verdict":"denied","protocol":"TCP","source":{"namespace":"shop","pod":"web","ip":"10.0.0.1","port":0},"destination":{"ip":"192.0.2.1","port":80},"sides":[{"pod":{"namespace":"shop","name":"web"},"direction":"egress","verdict":"denied","reason":"policy","rule":{"kind":"ClusterNetworkPolicy",`,
			`"layers":[{"name":"Admin","outcome":"deny",`,
		}},
		"explain shop/web": {0, []string{`{"namespace":"shop","name":"web","ingress":{"isolated":[],"audited":[{"kind":"WorkloadPolicy","namespace":"shop","name":"web"}]`}},
	} {
		code, stdout, stderr := sluice(t, Local{}, "", append(strings.Fields("policy "+args), "--manifests", "all", "-o", "json")...)
		if code != want.code || strings.Count(stdout, "\n") != 1 || !json.Valid([]byte(stdout)) {
			t.Errorf("%s = %d\n%s%s", args, code, stdout, stderr)
		}
		for _, part := range want.has {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: %s\nis missing in\n%s", args, part, stdout)
			}
		}
	}
}

// mustAgent serves objects as an agent does, with web attached at 10.0.0.9.
func mustAgent(t *testing.T, text string) string {
	t.Helper()
	lists := make(map[string][]string)
	docs, err := manifest.Split([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		o, err := manifest.Parse(doc.Data)
		if err != nil {
			t.Fatal(err)
		}
		lists[string(o.Ref.Kind)] = append(lists[string(o.Ref.Kind)], string(o.JSON))
	}
	r := make(replies)
	add := func(path, body string) {
		reply := r[path]
		reply.code, reply.body = 200, body
		r[path] = reply
	}
	for _, k := range kinds {
		add("GET /v1/objects/"+string(k.name), `{"items":[`+strings.Join(lists[string(k.name)], ",")+`]}`)
	}
	add("GET /v1/pods", `{"namespace":"shop","name":"web","ips":["10.0.0.9"],"state":"closed"}`+"\n"+
		`{"namespace":"shop","name":"late","ips":["10.0.0.8"],"state":"enforced"}`+"\n")
	add("GET /v1/status", `{"node":"n1","enforcement":"on"}`)
	return mustServe(t, r)
}

func TestPolicyOnline(t *testing.T) {
	t.Setenv("SLUICE_SOCKET", mustAgent(t, podsYAML+"---\n"+rulesYAML))
	for _, tt := range []struct {
		args string
		code int
		want []string // of stdout
	}{
		{"trace --from shop/web --to shop/db --port 5432", 0, []string{"shop/web (10.0.0.9) → shop/db (10.0.0.2) 5432/TCP: allowed", "note: pod shop/web is closed on this node"}},
		{"trace --from shop/late --to shop/db --port 5432", 10, []string{"peer 10.0.0.8 is pod shop/late, not selected by", "note: no object describes pod shop/late"}},
		{"explain shop/late", 0, []string{"note: no object describes pod shop/late: it has no labels"}},
		{"lint", 0, []string{"nothing found"}},
	} {
		code, stdout, stderr := sluice(t, Local{}, "", append([]string{"policy"}, strings.Fields(tt.args)...)...)
		if code != tt.code {
			t.Errorf("%s = %d, want %d: %s", tt.args, code, tt.code, stderr)
		}
		for _, part := range tt.want {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: %q is missing in\n%s", tt.args, part, stdout)
			}
		}
	}
	t.Setenv("SLUICE_SOCKET", filepath.Join(t.TempDir(), "none"))
	for _, args := range []string{"trace --from shop/web --to shop/db --port 80", "explain shop/web", "lint"} {
		if code, _, stderr := sluice(t, Local{}, "", append([]string{"policy"}, strings.Fields(args)...)...); code != 4 {
			t.Errorf("%s without an agent = %d: %s", args, code, stderr)
		}
	}
}

// TestPolicyHelp: each of the commands has help with examples.
func TestPolicyHelp(t *testing.T) {
	for _, cmd := range new(command).policy().Commands() {
		code, stdout, _ := sluice(t, Local{}, "", "policy", cmd.Name(), "--help")
		if code != 0 || cmd.Example == "" || cmd.Short == "" || !strings.Contains(stdout, cmd.Example) {
			t.Errorf("policy %s --help = %d\n%s", cmd.Name(), code, stdout)
		}
	}
}
