// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// TestPeerLeaves: an open connection outlives its peer's labels, but not its peer:
// what an address was allowed does not pass to its next owner.
func TestPeerLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Config{})
	server, client := w.pod("server"), w.pod("client")
	w.serve(server, "udp", 80)
	w.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}`)
	s := w.stream(client, built.probe, "udp", at(server.IPv4(), 80), "--wait", "1s")
	relabel := func(name, app string) {
		t.Helper()
		content := fmt.Appendf(nil, `{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: %s, uid: %s, labels: {app: %s}}}`,
			name, server.Spec.UID, app)
		if err := w.node.WriteManifest("pod-shop-server.yaml", content); err != nil {
			t.Fatal(err)
		}
	}
	relabel("server", "left")
	w.until("the label has changed", func() bool { return w.state(server).Labels["app"] == "left" })
	w.expect(silence, client, "dial", "udp", at(server.IPv4(), 80)) // a new flow
	s.lossless()
}

// TestAddressIsReused: what an address was allowed does not pass to its next owner.
func TestAddressIsReused(t *testing.T) {
	t.Parallel()
	sv := &services{world: newWorld(t, harness.Config{})}
	sv.client = sv.pod("client")
	gateway := sv.gateway() // the address of a pod elsewhere, for this test
	sv.serveOnNode("udp", at(gateway, 80))
	elsewhere := func(uid, app string) {
		t.Helper()
		content := fmt.Appendf(nil, `{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: far, uid: %s, labels: {app: %s}},
			status: {podIPs: [{ip: %s}]}}`, uid, app, gateway)
		if err := sv.node.WriteManifest("far.yaml", content); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere("one", "server")
	sv.until("the pod elsewhere is known", func() bool {
		_, err := sv.node.Client().Get(t.Context(), "Pod", "shop", "far")
		return err == nil
	})
	sv.put("NetworkPolicy", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}`)
	dial := []string{"dial", "udp", at(gateway, 80)}
	sv.expect(ok, sv.client, dial...)
	kept := sv.stream(sv.client, built.probe, "udp", at(gateway, 80))
	cut := sv.stream(sv.client, built.probe, "udp", at(gateway, 80), "--wait", "1s")
	elsewhere("one", "other") // the same pod
	sv.until("the label has changed", func() bool {
		o, err := endAs(silence, sv.command(sv.client, built.probe, dial...))
		return err == nil && o.status == silence
	})
	kept.lossless()
	elsewhere("two", "other")
	cut.cut()
}
