// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// replies are what a test's agent answers, by method and path.
type replies map[string]struct {
	code int
	body string
}

// mustServe returns the socket of an agent that gives these answers and 404 to
// the rest.
func mustServe(t *testing.T, replies replies) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply, ok := replies[r.Method+" "+r.URL.RequestURI()]
		if !ok {
			reply.code, reply.body = 404, fmt.Sprintf(`{"error":"no answer to %s %s"}`, r.Method, r.URL.RequestURI())
		}
		w.WriteHeader(reply.code)
		io.WriteString(w, reply.body)
	})}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return socket
}

// sluice runs one command.
func sluice(t *testing.T, local Local, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, strings.NewReader(stdin), &out, &errs, local)
	return code, out.String(), errs.String()
}

const (
	policyYAML = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: shop}\nspec: {podSelector: {}}\n"
	shopYAML   = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
	policyPath = "/v1/objects/NetworkPolicy/shop/deny"
	shopPath   = "/v1/objects/Namespace/-/shop"
	enforced   = `{"revision": 7, "state": "enforced", "pods": 2}`
	flowLine   = `{"id":"1","time":"2026-01-02T03:04:05.678Z","pod":{"namespace":"shop","name":"web"},"direction":"egress","verdict":"denied","reason":"default-deny","protocol":"TCP","source":{"namespace":"shop","pod":"web","ip":"10.0.0.1","port":999,"process":{"path":"/bin/\u001b[31mcurl","pid":1}},"destination":{"ip":"fd00::1","port":443},"rule":null}`
	eventLine  = `{"time":"2026-01-02T03:04:05.678Z","type":"escalation","class":"Privileges","outcome":"killed","pod":{"namespace":"shop","name":"web"},"process":{"path":"/bin/su","args":["su","-"],"pid":42},"rule":{"kind":"WorkloadPolicy","namespace":"shop","name":"p","index":1}}`
	statusBody = `{"version":"v1","node":"n1","tier":"no-LSM","revision":3,"ready":true,"enforcement":"on","pods":{"enforced":2,"closed":0},"policies":[{"kind":"NetworkPolicy","namespace":"shop","name":"deny","state":"enforced","rules":[{"direction":"egress","index":0,"outcome":"denied","note":"/bin/sh is /bin/dash"},{"section":"escalation","index":0,"outcome":"killed"}]}],"maps":[{"name":"flows","entries":5,"max":10,"full":1}],"lost":{"flow":4},"problems":["x.yaml: broken"]}`
)

// psLines are not in order.
const psLines = `{"process":{"path":"/bin/other","pid":10,"parentPid":3,"execId":"","container":"c2"}}
{"process":{"path":"/bin/sleep","args":["sleep","60"],"pid":9,"parentPid":7,"execId":"","container":"c1"}}
{"process":{"path":"/bin/sh","pid":7,"parentPid":2,"execId":"a-7","container":"c1","credentials":{"effective":["ALL"]}}}
{"process":{"path":"/bin/true","pid":11,"parentPid":8,"execId":"c-11","container":"c1"}}
{"process":{"path":"/app/run","interpreter":"/bin/python3","args":["/app/run","--token","***"],"truncated":true,"pid":8,"parentPid":7,"uid":1000,"execId":"b-8","container":"c1","credentials":{"effective":["CHOWN","DAC_OVERRIDE","FOWNER","KILL"]}}}
`

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"all.yaml":     shopYAML + "---\n" + policyYAML,
		"broken.yaml":  shopYAML + "---\n" + strings.Replace(policyYAML, "podSelector", "podSelectors", 1),
		"folder/a.yml": shopYAML, "folder/b.json": `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`,
		"folder/notes.txt": "x", "empty/notes.txt": "x",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	put := replies{"PUT " + shopPath: {200, enforced}, "PUT " + policyPath: {200, enforced}}
	tests := []struct {
		name    string
		replies replies // nil: no agent
		stdin   string
		args    string
		code    int
		stdout  string // all of it, if not empty
		stderr  string // within it; empty: nothing
	}{
		{"apply a file", put, "", "apply -f all.yaml", 0, "Namespace/-/shop enforced (revision 7, pods 2)\nNetworkPolicy/shop/deny enforced (revision 7, pods 2)\n", ""},
		{"apply standard input", put, policyYAML, "apply -f -", 0, "NetworkPolicy/shop/deny enforced (revision 7, pods 2)\n", ""},
		{"apply a folder", put, "", "apply -f folder", 0, strings.Repeat("Namespace/-/shop enforced (revision 7, pods 2)\n", 2), ""},
		{"apply an empty folder", put, "", "apply -f empty", 1, "", "sluice: no objects found in empty"},
		{"apply a missing file", put, "", "apply -f none.yaml", 1, "", "none.yaml"},
		{"apply what is broken", put, "", "apply -f broken.yaml", 3, "", "sluice: broken.yaml: documents[1]: spec.podSelectors: unknown field"},
		{"apply what is refused", replies{"PUT " + policyPath: {200, enforced}, "PUT " + shopPath: {409, `{"error":"from a manifest"}`}}, "",
			"apply -f all.yaml", 3, "NetworkPolicy/shop/deny enforced (revision 7, pods 2)\n", "all.yaml: documents[0]: Namespace/-/shop: from a manifest\nsluice: 1 of 2 objects refused\n"},
		{"apply what is refused, all of it", replies{"PUT " + policyPath: {422, `{"error":"bad"}`}, "PUT " + shopPath: {409, `{"error":"from a manifest"}`}}, "",
			"apply -f all.yaml", 3, "", "sluice: refused; nothing changed\n"},
		{"apply an unknown kind", put, "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", "apply -f -", 3, "", `sluice: standard input: documents[0]: kind: "Secret": not a kind`},
		{"apply what does not fit", replies{"PUT " + shopPath: {507, `{"error":"no room"}`}}, shopYAML, "apply -f -", 3, "", "no room"},
		{"apply when the agent fails", replies{"PUT " + shopPath: {500, `{"error":"oops"}`}}, shopYAML, "apply -f -", 1, "", "oops"},
		{"apply what is not in force", replies{"PUT " + shopPath: {200, `{"revision": 7, "state": "degraded", "pods": 2}`}}, shopYAML,
			"apply -f -", 5, "Namespace/-/shop degraded (revision 7, pods 2)\n", "sluice status"},
		{"apply without an agent", nil, shopYAML, "apply -f -", 4, "", "sluice: start the agent with"},
		{"apply nothing", put, "", "apply", 2, "", `sluice: see "sluice apply --help"`},
		{"delete by name", replies{"DELETE " + policyPath: {200, enforced}}, "", "delete NetworkPolicy shop/deny", 0, "NetworkPolicy/shop/deny deleted (revision 7, pods 2)\n", ""},
		{"delete without a namespace", replies{"DELETE " + shopPath: {200, enforced}}, "", "delete Namespace shop", 0, "Namespace/-/shop deleted (revision 7, pods 2)\n", ""},
		{"delete a file", replies{"DELETE " + policyPath: {200, enforced}}, policyYAML, "delete -f -", 0, "NetworkPolicy/shop/deny deleted (revision 7, pods 2)\n", ""},
		{"delete nothing there", replies{"DELETE " + shopPath: {404, `{"error":"no such object"}`}}, "", "delete Namespace shop", 3, "", "no such object"},
		{"delete nothing there, said once", replies{"DELETE " + shopPath: {404, `{"error":"no such object: Namespace/-/shop"}`}}, "", "delete Namespace shop", 3, "",
			"sluice: no such object: Namespace/-/shop\nsluice: refused; nothing changed\n"},
		{"delete when redirected", replies{"DELETE " + shopPath: {301, "<a>"}}, "", "delete Namespace shop", 3, "", "answered with status 301"},
		{"delete a wrong kind", put, "", "delete networkpolicy shop/deny", 2, "", `"networkpolicy" is not a kind; write one of Namespace, Node`},
		{"delete a path", put, "", "delete NetworkPolicy ../deny", 2, "", "the namespace is wrong"},
		{"delete a wrong name", put, "", "delete NetworkPolicy shop/a/b", 2, "", "the name is wrong"},
		{"delete without its namespace", put, "", "delete NetworkPolicy deny", 2, "", "write NAMESPACE/NAME"},
		{"delete with a namespace too many", put, "", "delete Namespace a/b", 2, "", "has no namespace"},
		{"delete without a name", put, "", "delete Namespace", 2, "", "name what to delete"},
		{"get pods", replies{"GET /v1/pods": {200, `{"namespace":"shop","name":"web","ips":["10.0.0.1"],"state":"enforced","policies":["NetworkPolicy/shop/deny"]}` + "\n"}}, "",
			"get pods", 0, "NAMESPACE  NAME  STATE     IPS       POLICIES\nshop       web   enforced  10.0.0.1  NetworkPolicy/shop/deny\n", ""},
		{"get no pods", replies{"GET /v1/pods": {200, ""}}, "", "get pods -o json", 0, `{"items":[]}` + "\n", ""},
		{"get policies", replies{"GET /v1/status": {200, statusBody}}, "", "get policies", 0,
			"KIND           NAMESPACE  NAME  STATE     RULES                                  REASON\nNetworkPolicy  shop       deny  enforced  egress[0]:denied escalation[0]:killed  egress[0]: /bin/sh is /bin/dash\n", ""},
		{"get something else", put, "", "get nodes", 2, "", "nodes"},
		{"status", replies{"GET /v1/status": {200, statusBody}}, "", "status", 0,
			"node     n1\nversion  v1\nstate    ready, enforcement on, revision 3\ntier     no-LSM\npods     2 enforced\nlost     4 flow\nproblem: x.yaml: broken\n\n" +
				"KIND           NAMESPACE  NAME  STATE     RULES                                  REASON\nNetworkPolicy  shop       deny  enforced  egress[0]:denied escalation[0]:killed  egress[0]: /bin/sh is /bin/dash\n\n" +
				"MAP    ENTRIES  MAX  REFUSED\nflows  5        10   1\n", ""},
		{"status without an agent", nil, "", "status", 4, "", "agent not reachable"},
		{"ps", replies{"GET /v1/processes?pod=shop%2Fweb": {200, psLines}}, "", "ps shop/web", 0,
			"PID  PARENT  UID   CAPABILITIES                  EXEC ID  CONTAINER  PROCESS\n" +
				"7    2       0     ALL                           a-7      c1         /bin/sh\n" +
				"8    7       1000  CHOWN,DAC_OVERRIDE,FOWNER,+1  b-8      c1         ├─ /app/run (/bin/python3) --token *** …\n" +
				"11   8       0     -                             c-11     c1         │  └─ /bin/true\n" +
				"9    7       0     -                             -        c1         └─ /bin/sleep 60\n" +
				"10   3       0     -                             -        c2         /bin/other\n", ""},
		{"ps of what is not here", replies{"GET /v1/processes?pod=shop%2Fx": {404, `{"error":"no pod shop/x on this node"}`}}, "", "ps shop/x", 1, "", "no pod shop/x"},
		{"ps without a namespace", nil, "", "ps web", 2, "", "write NAMESPACE/POD"},
		{"ps of nothing", nil, "", "ps", 2, "", "accepts 1 arg"},
		{"events of a rule", replies{"GET /v1/events?rule=shop%2Fp%5B1%5D": {200, ""}}, "", "events -o json --rule shop/p[1]", 0, `{"items":[]}` + "\n", ""},
		{"completed pods", replies{"GET /v1/pods": {200, `{"namespace":"shop","name":"web"}` + "\n"}}, "", "__complete ps sh", 0, "shop/web\n:4\n", "Completion ended"},
		{"wrong format", put, "", "status -o yaml", 2, "", "write table or json"},
		{"flows as JSON", replies{"GET /v1/flows?limit=3&pod=shop%2Fweb": {200, ""}}, "", "flows -o json --pod shop/web --limit 3", 0, `{"items":[]}` + "\n", ""},
		{"flows refused", replies{"GET /v1/flows?pod=x": {400, `{"error":"write NAMESPACE/NAME"}`}}, "", "flows --pod x", 2, "", "write NAMESPACE/NAME"},
		{"flows with a wrong limit", put, "", "flows --limit x", 2, "", `invalid argument "x" for "--limit" flag: write a number of entries` + "\n"},
		{"flows cut short", replies{"GET /v1/flows?": {200, flowLine[:50]}}, "", "flows", 1, "", "read answer"},
		{"a follower outlives no agent", replies{"GET /v1/events?follow=true": {200, eventLine + "\n" + `{"lost":3}` + "\n"}}, "", "events -f -o json", 4, "", "3 lines lost"},
		{"unknown command", put, "", "frobnicate", 2, "", `unknown command "frobnicate"`},
		{"agent without an unknown point", put, "", "agent --disable foo", 2, "", `"foo" is not an optional point; there are syscalls, scripts`},
		{"doctor without an unknown point", put, "", "doctor --disable foo", 2, "", `"foo" is not an optional point`},
		{"completion of an unknown shell", put, "", "completion foo", 2, "", "foo"},
		{"completion of no shell", put, "", "completion", 2, "", "accepts 1 arg"},
		{"uninstall has no cgroup root", put, "", "uninstall --cgroup-root /a", 2, "", "--cgroup-root"},
		{"unknown flag", put, "", "status --frob", 2, "", "--frob"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "none")
			if tt.replies != nil {
				socket = mustServe(t, tt.replies)
			}
			t.Setenv("SLUICE_SOCKET", socket)
			code, stdout, stderr := sluice(t, Local{}, tt.stdin, strings.Fields(tt.args)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if tt.stdout != "" && stdout != tt.stdout {
				t.Errorf("stdout:\n%swant:\n%s", stdout, tt.stdout)
			}
			if tt.stderr == "" && stderr != "" || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("stderr:\n%swant %q in it", stderr, tt.stderr)
			}
		})
	}
}

func TestTables(t *testing.T) {
	socket := mustServe(t, replies{
		"GET /v1/flows?": {200, flowLine + "\n"}, "GET /v1/flows?follow=true": {200, flowLine + "\n"},
		"GET /v1/events?": {200, eventLine + "\n"},
	})
	for args, want := range map[string][]string{
		"flows":    {"denied", "shop/web", "egress", "shop/web:999 → [fd00::1]:443", `"/bin/\x1b[31mcurl"`, "default-deny"},
		"flows -f": {"TIME", "denied", "shop/web:999 → [fd00::1]:443", `"/bin/\x1b[31mcurl"`, "default-deny"},
		"events":   {"killed", "escalation", "shop/web", "42", "/bin/su -", "WorkloadPolicy/shop/p[1]", "Privileges"},
	} {
		_, stdout, _ := sluice(t, Local{}, "", append(strings.Fields(args), "--socket", socket)...)
		for _, part := range want {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: %q is missing in:\n%s", args, part, stdout)
			}
		}
		if strings.Contains(stdout, "\x1b") {
			t.Errorf("%s: a pod reaches the terminal", args)
		}
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, flowLine+"\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})}
	go server.Serve(l)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		io.ReadAtLeast(r, make([]byte, 4096), 1) // printed at once
		cancel()
		io.Copy(io.Discard, r)
	}()
	if code := Main(ctx, []string{"flows", "-f", "-o", "json", "--socket", socket}, nil, w, io.Discard, Local{}); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	w.Close()
}

func TestLocalCommands(t *testing.T) {
	report := Report{Kernel: "6.18", Tier: "no-LSM", Rows: []Row{{Name: "tcx", OK: true, Required: true, Gives: "denied"}, {Name: "lsm", Reason: "EPERM"}}}
	var uninstalled UninstallConfig
	local := Local{
		Version: "v1",
		Doctor:  func(context.Context, DoctorConfig) (Report, error) { return report, nil },
		Uninstall: func(_ context.Context, cfg UninstallConfig) error {
			uninstalled = cfg
			return nil
		},
		Demo: func(context.Context, DemoConfig) error { return errors.New("step 3 failed") },
	}
	tests := []struct {
		args   string
		code   int
		stdout string
	}{
		{"version", 0, "v1\n"},
		{"version -o json", 0, `{"version":"v1"}` + "\n"},
		{"doctor", 0, "kernel 6.18, tier no-LSM\n\nCAPABILITY  HERE  GIVES   REASON\ntcx         yes   denied  -\nlsm         no    -       EPERM\n"},
		{"uninstall --state-dir /a", 0, ""},
		{"demo", 1, ""},
	}
	for _, tt := range tests {
		if code, stdout, stderr := sluice(t, local, "", strings.Fields(tt.args)...); code != tt.code || stdout != tt.stdout {
			t.Errorf("%s = %d\n%s%swant %d\n%s", tt.args, code, stdout, stderr, tt.code, tt.stdout)
		}
	}
	if want := (UninstallConfig{DefaultSocket, DefaultBPFFS, "/a"}); uninstalled != want {
		t.Errorf("uninstalled %+v, want %+v", uninstalled, want)
	}
	report.Rows[0].OK = false
	if code, _, stderr := sluice(t, local, "", "doctor"); code != 1 || !strings.Contains(stderr, "below the floor") {
		t.Errorf("doctor below the floor = %d %s", code, stderr)
	}
}

// Every command has an example, and completion knows every shell.
func TestHelp(t *testing.T) {
	for _, cmd := range new(command).root().Commands() {
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example or no short help", cmd.Name())
		}
		code, stdout, _ := sluice(t, Local{}, "", cmd.Name(), "--help")
		if code != 0 || !strings.Contains(stdout, cmd.Example) {
			t.Errorf("%s --help = %d\n%s", cmd.Name(), code, stdout)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, _ := sluice(t, Local{}, "", "completion", shell); code != 0 || len(stdout) < 100 {
			t.Errorf("completion %s = %d", shell, code)
		}
	}
}
