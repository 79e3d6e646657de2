// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
)

const ingressPolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: NS}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {role: friend}}}]
    ports: [{port: 80}]
`

// testNetwork: a NetworkPolicy between pods of the runtime, with a real server and
// a real client.
func (s *suite) testNetwork(t *testing.T, namespace string) {
	web := s.newPod(t, namespace, "web", map[string]string{"app": "web"})
	web.mustStart(t, "server", []string{"/bin/httpd", "-f", "-p", "80", "-h", "/www"})
	friend := s.newPod(t, namespace, "friend", map[string]string{"role": "friend"}).mustStart(t, "main", pause)
	stranger := s.newPod(t, namespace, "stranger", nil).mustStart(t, "main", pause)
	get := []string{"/bin/sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 " + web.ip + " 80"}
	eventually(t, "the server answers", func() error { return wantHello(stranger.exec(t.Context(), get...)) })
	s.put(t, "NetworkPolicy", namespace, "web", inNamespace(ingressPolicy, namespace))
	check(t, wantHello(friend.exec(t.Context(), get...)))
	if got, err := stranger.exec(t.Context(), get...); got != "" || err == nil {
		t.Errorf("a pod that the policy does not allow was served %q", got)
	}
	web.wantFlow(t, "ingress", func(f rpc.Flow) bool {
		return f.Verdict == "denied" && f.Source.Pod == "stranger" && f.Reason == "default-deny"
	})
	web.wantFlow(t, "ingress", func(f rpc.Flow) bool {
		return f.Verdict == "allowed" && f.Source.Pod == "friend" && f.Rule != nil && f.Rule.Name == "web"
	})
}

func wantHello(answer string, err error) error {
	if err == nil && !strings.HasSuffix(answer, "\nhello") {
		err = fmt.Errorf("it said %q", answer)
	}
	return err
}
