// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
)

// processPolicy lets two programs out; one is named by a symlink.
const processPolicy = `
apiVersion: sluice.dev/v1alpha1
kind: WorkloadPolicy
metadata: {name: client, namespace: NS}
spec:
  podSelector: {matchLabels: {app: client}}
  egress:
    allow:
    - to: [{podSelector: {matchLabels: {app: server}}}]
      ports: [{protocol: TCP, port: 7000}]
      processes: [{path: /app/alpha}, {path: /usr/bin/gamma}]
`

func inNamespace(object, namespace string) string { return strings.ReplaceAll(object, "NS", namespace) }

// ruled makes a server and a client pod under processPolicy, and gives the client
// and the address of the server.
func (s *suite) ruled(t *testing.T, namespace string) (*pod, string) {
	t.Helper()
	server := s.newPod(t, namespace, "server", map[string]string{"app": "server"})
	c := server.mustStart(t, "server", serve)
	address := server.ip + ":7000"
	wantOpen(t, c, "/app/beta", "127.0.0.1:7000")
	s.put(t, "WorkloadPolicy", namespace, "client", inNamespace(processPolicy, namespace))
	return s.newPod(t, namespace, "client", map[string]string{"app": "client"}), address
}

// testProcess: one program of a container reaches an address, another does not.
func (s *suite) testProcess(t *testing.T, namespace string) {
	client, address := s.ruled(t, namespace)
	for _, c := range []*container{client.mustStart(t, "first", pause), client.mustStart(t, "second", pause)} {
		wantOpen(t, c, "/app/gamma", address)
		wantDial(t, c, "/usr/bin/gamma", address, "open")
		wantDial(t, c, "/app/alpha", address, "open")
		wantDial(t, c, "/app/beta", address, "EPERM")
		ip, port, _ := strings.Cut(address, ":")
		if out, err := c.exec(t.Context(), "/bin/nc", "-w", "1", ip, port); err == nil {
			t.Errorf("nc was let out: %s", out)
		}
		wantRefused(t, c, "/app/beta", address) // a shell in between changes nothing
	}
	client.wantFlow(t, "egress", func(f rpc.Flow) bool {
		return f.Verdict == "allowed" && f.Source.Process != nil && f.Source.Process.Path == "/app/alpha" &&
			f.Rule != nil && f.Rule.Kind == "WorkloadPolicy" && f.Rule.Name == "client" && f.Rule.Index == 0
	})
	client.wantFlow(t, "egress", func(f rpc.Flow) bool {
		return f.Verdict == "denied" && f.Source.Process != nil && f.Source.Process.Path == "/app/beta"
	})
}

// testImpostors: files and mounts of the pod's own making that pass for a program.
func (s *suite) testImpostors(t *testing.T, namespace string) {
	client, address := s.ruled(t, namespace)
	for _, test := range []struct {
		name    string
		script  string // makes the impostor and runs it, but for its arguments
		options []option
	}{
		{"copy", "cp /app/alpha /tmp/alpha && /tmp/alpha", nil},
		{"copy in its place", "cp /app/alpha /tmp/alpha && rm /app/alpha && cp /tmp/alpha /app/alpha && /app/alpha", nil},
		{"other program renamed to it", "mv /app/beta /app/alpha && /app/alpha", nil},
		{"other program linked to it", "ln -f /app/beta /app/alpha && /app/alpha", nil},
		{"symlink to another program", "ln -sf /app/beta /app/alpha && /app/alpha", nil},
		{"argv[0]", "exec -a /app/alpha /app/beta", nil},
		{"other program bound over it", "mount --bind /app/beta /app/alpha && /app/alpha", []option{privileged}},
		{"bound over itself", "mount --bind /app/alpha /app/alpha && /app/alpha", []option{privileged}},
		{"bound elsewhere", "mount --bind /app/alpha /app/beta && /app/beta", []option{privileged}},
		{"filesystem over its folder", "cp /app/alpha /tmp/alpha && mount -t tmpfs tmpfs /app && cp /tmp/alpha /app && /app/alpha", []option{privileged}},
		{"own mount namespace", "unshare -m /app/alpha", []option{privileged}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := client.mustStart(t, "main", pause, test.options...)
			wantOpen(t, c, "/app/alpha", address)
			wantRefused(t, c, test.script, address)
			check(t, c.remove(t.Context()))
		})
	}
}
