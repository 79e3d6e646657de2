// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// patience is how long a test waits for what must come: far longer than it takes,
// since others may use the machine.
const patience = 30 * time.Second

// world is a node with an agent.
type world struct {
	*testing.T
	node  *harness.Node
	agent *harness.Agent
}

// newWorld makes a node with a running agent, which is gone, to the last trace,
// when the test ends.
func newWorld(t *testing.T, cfg harness.Config) *world {
	t.Helper()
	w := newNode(t, cfg)
	w.start()
	return w
}

// newNode is newWorld before the agent is started.
func newNode(t *testing.T, cfg harness.Config) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root")
	}
	cfg.CNIPath, cfg.Agent = []string{built.dir}, built.agent
	n, err := harness.NewNode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, node: n}
	t.Cleanup(func() {
		if said, err := os.ReadFile(n.AgentLog()); t.Failed() && err == nil {
			t.Logf("the agent said:\n%s", said)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		for _, path := range []string{n.Root, n.CgroupRoot} {
			if exists(t, path) {
				t.Errorf("%s is left behind", path)
			}
		}
	})
	return w
}

// on is the same world for a subtest.
func (w *world) on(t *testing.T) *world { return &world{T: t, node: w.node, agent: w.agent} }

// run runs a subtest in the same world.
func (w *world) run(name string, f func(w *world)) {
	w.T.Run(name, func(t *testing.T) { f(w.on(t)) })
}

// start starts the agent. Small maps are made faster, and the end of a connection is
// told of sooner.
func (w *world) start(args ...string) {
	w.Helper()
	path := w.node.Root + "/agent.yaml"
	err := os.WriteFile(path, []byte(`{apiVersion: sluice.dev/v1alpha1, kind: AgentConfiguration,
  maps: {flows: 4096, processes: 4096, addresses: 256, prefixes: 256, edges: 1024, ports: 1024},
  timeouts: {tcp: {closing: 1s}}}`), 0o600)
	if err != nil {
		w.Fatal(err)
	}
	if w.agent, err = w.node.StartAgent(w.Context(), append([]string{"--config", path, "--node-name", "here"}, args...)...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) kill9() {
	w.Helper()
	if err := w.agent.Kill9(); err != nil {
		w.Fatal(err)
	}
}

// pod makes a pod in namespace shop, labelled app=name.
func (w *world) pod(name string) *harness.Pod {
	w.Helper()
	return w.add(harness.PodSpec{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}})
}

func (w *world) add(spec harness.PodSpec) *harness.Pod {
	w.Helper()
	p, err := w.node.AddPod(w.Context(), spec)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

var apiVersions = map[string]string{
	"NetworkPolicy": "networking.k8s.io/v1", "WorkloadPolicy": "sluice.dev/v1alpha1", "Namespace": "v1", "Service": "v1",
	"ClusterNetworkPolicy": "policy.networking.k8s.io/v1alpha2", "ClusterWorkloadPolicy": "sluice.dev/v1alpha1", "Node": "v1",
}

func manifest(kind, namespace, name, spec string) []byte {
	return fmt.Appendf(nil, "{apiVersion: %s, kind: %s, metadata: {namespace: %s, name: %s}, spec: %s}\n",
		apiVersions[kind], kind, namespace, name, spec)
}

// put puts a policy named "p" of namespace shop in force.
func (w *world) put(kind, spec string) { w.Helper(); w.putAs(kind, "p", spec) }

func (w *world) putAs(kind, name, spec string) {
	w.Helper()
	reply, err := w.node.Client().Put(w.Context(), kind, "shop", name, manifest(kind, "shop", name, spec))
	if err != nil {
		w.Fatal(err)
	}
	if reply.State != "enforced" {
		w.Fatalf("%s is %s", kind, reply.State)
	}
}

// putCluster puts a cluster-scoped object in force.
func (w *world) putCluster(kind, name, rest string) {
	w.Helper()
	body := fmt.Appendf(nil, "{apiVersion: %s, kind: %s, metadata: {name: %s}, %s}\n", apiVersions[kind], kind, name, rest)
	if _, err := w.node.Client().Put(w.Context(), kind, "", name, body); err != nil {
		w.Fatal(err)
	}
}

func (w *world) removeCluster(kind, name string) {
	w.Helper()
	if _, err := w.node.Client().Delete(w.Context(), kind, "", name); err != nil {
		w.Fatal(err)
	}
}

// remove takes the policy "p" out of force.
func (w *world) remove(kind string) {
	w.Helper()
	if _, err := w.node.Client().Delete(w.Context(), kind, "shop", "p"); err != nil {
		w.Fatal(err)
	}
}

// until waits until what holds.
func (w *world) until(what string, holds func() bool) {
	w.Helper()
	for end := time.Now().Add(harness.Patience(patience)); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited in vain: %s", what)
		}
	}
}

// flow waits for a flow of a pod.
func (w *world) flow(p *harness.Pod, what string, is func(*rpc.Flow) bool) rpc.Flow {
	w.Helper()
	return await(w, p, what, is, func(ctx context.Context, q rpc.Query, each func(rpc.Flow) error) error {
		return w.node.Client().Flows(ctx, q, each, nil)
	})
}

// event waits for an event of a pod.
func (w *world) event(p *harness.Pod, what string, is func(*rpc.Event) bool) rpc.Event {
	w.Helper()
	return await(w, p, what, is, func(ctx context.Context, q rpc.Query, each func(rpc.Event) error) error {
		return w.node.Client().Events(ctx, q, each, nil)
	})
}

// events are the events of a pod so far.
func (w *world) events(p *harness.Pod, kind string) []rpc.Event {
	w.Helper()
	var all []rpc.Event
	err := w.node.Client().Events(w.Context(), rpc.Query{Pod: name(p), Type: kind}, func(e rpc.Event) error {
		all = append(all, e)
		return nil
	}, nil)
	if err != nil {
		w.Fatal(err)
	}
	return all
}

func name(p *harness.Pod) string { return p.Spec.Namespace + "/" + p.Spec.Name }

// await follows a list until an entry is what is looked for.
func await[T any](w *world, p *harness.Pod, what string, is func(*T) bool,
	follow func(context.Context, rpc.Query, func(T) error) error) (found T) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var seen []T
	ok := false
	err := follow(ctx, rpc.Query{Follow: true, Pod: name(p)}, func(e T) error {
		seen = append(seen, e)
		if is(&e) {
			found, ok = e, true
			cancel()
		}
		return nil
	})
	if !ok {
		for _, e := range seen {
			w.Logf("seen: %+v", e)
		}
		w.Fatalf("waited in vain for %s (%v)", what, err)
	}
	return found
}

// state is what the agent says of a pod.
func (w *world) state(p *harness.Pod) rpc.Pod {
	w.Helper()
	pods, err := w.node.Client().Pods(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, q := range pods {
		if q.Namespace == p.Spec.Namespace && q.Name == p.Spec.Name {
			return q
		}
	}
	return rpc.Pod{}
}

func at(ip netip.Addr, port uint16) string { return netip.AddrPortFrom(ip, port).String() }
