// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-io/sluice/agent/journal"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/agent/store"
	"github.com/sluice-io/sluice/policy"
)

// fake is a Backend that remembers what it was told.
type fake struct {
	mu       sync.Mutex
	wait     func() // in Apply; may be nil
	applied  []*policy.Cluster
	err      error // of Apply and Attach
	detached []rpc.Detachment
	pods     []rpc.Pod
	flows    []rpc.Flow
	status   rpc.Status
	ready    bool
	off      time.Duration

	processes  []rpc.Running
	subscribed string
}

func (f *fake) Apply(_ context.Context, c *policy.Cluster) (rpc.PutReply, error) {
	if f.wait != nil {
		f.wait()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return rpc.PutReply{}, f.err
	}
	f.applied = append(f.applied, c)
	return rpc.PutReply{Revision: uint64(len(f.applied)), State: "enforced", Pods: 2}, nil
}

func (f *fake) Spare(span time.Duration) error {
	f.off = span
	return nil
}

func (f *fake) Spared() (time.Duration, error) { return f.off, nil }

func (f *fake) Attach(_ context.Context, a rpc.Attachment) (rpc.AttachReply, error) {
	return rpc.AttachReply{State: "enforced"}, f.err
}

func (f *fake) Detach(_ context.Context, containerID, ifName string) error {
	f.detached = append(f.detached, rpc.Detachment{ContainerID: containerID, IfName: ifName})
	return nil
}

func (f *fake) Processes(rpc.PodRef) ([]rpc.Running, error) { return f.processes, nil }

func (f *fake) Subscribe(pod rpc.PodRef, event string) func() {
	set := func(to string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.subscribed = to
	}
	set(pod.Namespace + "/" + pod.Name + " " + event)
	return func() { set("") }
}

func (f *fake) Pods() []rpc.Pod    { return f.pods }
func (f *fake) Flows() []rpc.Flow  { return f.flows }
func (f *fake) Status() rpc.Status { return f.status }
func (f *fake) Ready() bool        { return f.ready }

// agent is a served API.
type agent struct {
	backend *fake
	server  *Server
	journal *journal.Journal
	socket  string
	client  *rpc.Client
	http    http.Client
}

func mustServe(t *testing.T, manifests map[string]string) *agent {
	t.Helper()
	dir := t.TempDir()
	folder := filepath.Join(dir, "manifests")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range manifests {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	objects, err := store.New(store.Config{Manifests: folder, StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_test_total"}))
	a := &agent{backend: &fake{ready: true}, journal: journal.New(0, 0), socket: filepath.Join(dir, "sock")}
	server, err := New(Config{Socket: a.socket, Store: objects, Journal: a.journal, Backend: a.backend,
		Metrics: metrics, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, server)
	a.server = server
	a.client = rpc.Dial(a.socket)
	a.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", a.socket)
	}}
	t.Cleanup(a.http.CloseIdleConnections)
	return a
}

func mustRun(t *testing.T, server *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// ask sends one request as an outside program would.
func (a *agent) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://sluice"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	w, err := a.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	data, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, string(data)
}

const (
	objectURL = "/v1/objects/NetworkPolicy/shop/deny"
	object    = `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"deny","namespace":"shop"},"spec":{"podSelector":{}}}`
	owned     = "apiVersion: v1\nkind: Namespace\nmetadata: {name: owned}\n"
)

func TestCodes(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		code                     int
		want                     string // within the answer
	}{
		{"put JSON", "PUT", objectURL, object, 200, `{"revision":1,"state":"enforced","pods":2}`},
		{"put YAML", "PUT", "/v1/objects/Namespace/-/a", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n", 200, `"state":"enforced"`},
		{"empty body", "PUT", objectURL, "", 400, `"error":"cannot parse`},
		{"truncated JSON", "PUT", objectURL, object[:40], 400, `"error":"cannot parse`},
		{"two documents", "PUT", objectURL, object + "\n" + object, 400, `"error":"cannot parse`},
		{"binary", "PUT", objectURL, "\x00\xff", 400, `"error"`},
		{"a list", "PUT", objectURL, "[]", 400, `"error"`},
		{"over 1 MiB", "PUT", objectURL, strings.Repeat(" ", 2<<20), 413, `"error":"larger than 1 MiB`},
		{"unknown kind in the URL", "PUT", "/v1/objects/Secret/shop/a", object, 404, `"field":"kind","value":"Secret"`},
		{"kind in small letters", "PUT", "/v1/objects/networkpolicy/shop/deny", object, 404, `"field":"kind"`},
		{"unknown kind in the body", "PUT", objectURL, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}`, 404, `"field":"kind","value":"Secret"`},
		{"other kind in the body", "PUT", objectURL, owned, 422, `"field":"kind","value":"Namespace"`},
		{"other name in the body", "PUT", "/v1/objects/NetworkPolicy/shop/other", object, 422, `"field":"metadata.name","value":"deny"`},
		{"other namespace in the body", "PUT", "/v1/objects/NetworkPolicy/else/deny", object, 422, `"field":"metadata.namespace","value":"shop"`},
		{"no namespace in the URL", "PUT", "/v1/objects/NetworkPolicy/-/deny", object, 422, `"field":"metadata.namespace"`},
		{"wrong type", "PUT", objectURL, strings.Replace(object, `{}`, `5`, 1), 422, `"field":"spec.podSelector","value":"5"`},
		{"unknown field", "PUT", objectURL, strings.Replace(object, `"podSelector"`, `"podSelectors"`, 1), 422, `"field":"spec.podSelectors"`},
		{"of a manifest", "PUT", "/v1/objects/Namespace/-/owned", owned, 409, "owned.yaml"},
		{"delete of a manifest's", "DELETE", "/v1/objects/Namespace/-/owned", "", 409, "owned.yaml"},
		{"delete of nothing", "DELETE", objectURL, "", 404, "no such object"},
		{"get of nothing", "GET", objectURL, "", 404, "no such object"},
		{"get", "GET", "/v1/objects/Namespace/-/owned", "", 200, `"name":"owned"`},
		{"list", "GET", "/v1/objects/Namespace", "", 200, `{"items":[{"apiVersion":"v1","kind":"Namespace"`},
		{"empty list", "GET", "/v1/objects/Pod/shop", "", 200, `{"items":[]}`},
		{"list of an unknown kind", "GET", "/v1/objects/Secret", "", 404, `"field":"kind"`},
		{"doubled slash", "GET", "/v1//objects/Pod", "", 404, `"error":"no such path: /v1//objects/Pod; write /v1/objects/Pod"`},
		{"dots", "DELETE", "/v1/objects/Pod/shop/../x", "", 404, `"error":"no such path`},
		{"slash at the end", "GET", "/v1/pods/", "", 404, `"error":"no such path`},
		{"unknown kind is said once", "GET", "/v1/objects/Secret", "", 404, `"error":"kind: \"Secret\": not a kind`},
		{"unknown path", "GET", "/v2/objects", "", 404, `"error":"no such path`},
		{"wrong method", "POST", objectURL, object, 405, `"error":"POST is not possible`},
		{"wrong query", "GET", "/v1/flows?pods=x", "", 400, `"field":"pods"`},
		{"repeated query", "GET", "/v1/flows?verdict=denied&verdict=allowed", "", 400, "given more than once"},
		{"query of a list without any", "GET", "/v1/objects/Pod?namespace=x", "", 400, `"field":"namespace"`},
		{"wrong pod", "GET", "/v1/flows?pod=x", "", 400, `"field":"pod","value":"x"`},
		{"wrong verdict", "GET", "/v1/flows?verdict=deny", "", 400, `"field":"verdict"`},
		{"wrong since", "GET", "/v1/events?since=x", "", 400, `"field":"since"`},
		{"wrong limit", "GET", "/v1/events?limit=-1", "", 400, `"field":"limit"`},
		{"no flows", "GET", "/v1/flows", "", 200, ""},
		{"health", "GET", "/healthz", "", 200, ""},
		{"ready", "GET", "/readyz", "", 200, ""},
		{"metrics", "GET", "/metrics", "", 200, "sluice_test_total 0"},
		{"status", "GET", "/v1/status", "", 200, `"policies":[],"maps":[],"lost":{}`},
		{"attach", "POST", "/v1/cni/attach", `{"namespace":"shop","name":"a","containerID":"c","ifName":"eth0","new":1}`, 200, `{"state":"enforced"}`},
		{"attach of nothing", "POST", "/v1/cni/attach", `{"namespace":"shop"}`, 422, `"field":"name"`},
		{"attach of nonsense", "POST", "/v1/cni/attach", `[`, 400, `"error":"decode body`},
		{"detach", "POST", "/v1/cni/detach", `{"containerID":"c","ifName":"eth0"}`, 200, ""},
		{"detach too large", "POST", "/v1/cni/detach", strings.Repeat(" ", 2<<20), 413, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := mustServe(t, map[string]string{"owned.yaml": owned})
			code, got := a.ask(t, tt.method, tt.path, tt.body)
			if code != tt.code || !strings.Contains(got, tt.want) {
				t.Errorf("%s %s = %d %s, want %d and %s", tt.method, tt.path, code, got, tt.code, tt.want)
			}
			if changed := tt.method != "GET" && code == 200 && strings.HasPrefix(tt.path, "/v1/objects"); changed != (len(a.backend.applied) > 0) {
				t.Errorf("applied %d clusters", len(a.backend.applied))
			}
		})
	}
}

func TestRefusedChangesNothing(t *testing.T) {
	tests := []struct {
		err  error
		code int
	}{
		{fmt.Errorf("rule set: %w", ErrNoFit), 507},
		{errors.New("kernel said no"), 500},
		{context.DeadlineExceeded, 503},
	}
	for _, tt := range tests {
		a := mustServe(t, nil)
		a.ask(t, "PUT", objectURL, object)
		a.backend.err = tt.err
		larger := strings.Replace(object, `{}`, `{"matchLabels":{"a":"b"}}`, 1)
		for method, body := range map[string]string{"PUT": larger, "DELETE": ""} {
			code, got := a.ask(t, method, objectURL, body)
			if code != tt.code || !strings.Contains(got, tt.err.Error()) {
				t.Errorf("%s = %d %s, want %d", method, code, got, tt.code)
			}
		}
		if _, got := a.ask(t, "GET", objectURL, ""); strings.TrimSpace(got) != object {
			t.Errorf("after %v the object is %s", tt.err, got)
		}
	}
}

func TestPutsAreSerialised(t *testing.T) {
	a := mustServe(t, nil)
	var group sync.WaitGroup
	const n = 20
	for i := range n {
		group.Go(func() {
			name := fmt.Sprintf("n%d", i)
			body := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name)
			if _, err := a.client.Put(t.Context(), "Namespace", "", name, []byte(body)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i, c := range a.backend.applied {
		if len(c.Namespaces) != i+1 {
			t.Errorf("cluster %d has %d namespaces", i, len(c.Namespaces))
		}
	}
}

func TestNotReady(t *testing.T) {
	a := mustServe(t, nil)
	a.backend.ready = false
	var status *rpc.StatusError
	if err := a.client.Ready(t.Context()); !errors.As(err, &status) || status.Code != 503 {
		t.Errorf("readyz: %v, want 503", err)
	}
}

func TestStatusNamesProblems(t *testing.T) {
	a := mustServe(t, map[string]string{"x.yaml": "{ broken"})
	status, err := a.client.Status(t.Context())
	if err != nil || len(status.Problems) != 1 || !strings.HasPrefix(status.Problems[0], "x.yaml: documents[0]: ") {
		t.Errorf("problems = %q, %v", status.Problems, err)
	}
}

// A body that does not come does not hold its connection for ever.
func TestSlowBody(t *testing.T) {
	a := mustServe(t, nil)
	a.server.bodyTimeout = 50 * time.Millisecond
	conn, err := net.Dial("unix", a.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", objectURL)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("answer = %q, %v, want 408", answer, err)
	}
	// One that came in time bounds nothing else.
	slow := make(chan bool)
	a.backend.wait = func() { <-slow }
	time.AfterFunc(150*time.Millisecond, func() { close(slow) })
	if code, got := a.ask(t, "PUT", objectURL, object); code != 200 {
		t.Errorf("PUT that takes long = %d %s", code, got)
	}
}

func TestTruncatedRequest(t *testing.T) {
	a := mustServe(t, nil)
	conn, err := net.Dial("unix", a.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", objectURL)
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("answer = %q, %v, want 400", answer, err)
	}
}
