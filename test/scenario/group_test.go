// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"strings"
	"testing"
)

// TestSharedPort has two programs listen on one port (SO_REUSEPORT), of which one may
// be reached: what the kernel would give to the other does not arrive.
func TestSharedPort(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			dir, programs := mustDir(t), make(map[string]string)
			for _, name := range []string{"tcpgood", "tcpbad", "udpgood", "udpbad"} {
				programs[name] = copyOf(t, dir, name)
			}
			w := newWorld(t, cfg)
			server, client := w.pod("server"), w.pod("client")
			asked := make(map[string]*stream)
			for _, network := range []string{"tcp", "udp"} {
				for _, name := range []string{"good", "bad"} {
					s := w.keep(server, programs[network+name], "serve-group", network, "[::]:80")
					s.await("ready")
					asked[network+name] = s
				}
			}
			ask := func(network string) (answers []string) {
				for range 24 {
					o, err := endAs(silence, w.command(client, built.probe, "ask", network, at(server.IPv4(), 80)))
					if err != nil || (o.status != ok && o.status != silence) {
						t.Fatalf("ask: ended with %d: %s %v", o.status, o.said, err)
					}
					answers = append(answers, strings.TrimSpace(o.said))
				}
				return answers
			}
			count := func(answers []string, of string) (n int) {
				for _, a := range answers {
					if a == of {
						n++
					}
				}
				return n
			}
			for _, network := range []string{"tcp", "udp"} {
				all := ask(network)
				if count(all, network+"good") == 0 || count(all, network+"bad") == 0 {
					t.Fatalf("without a policy not both programs are reached: %q", all)
				}
			}
			w.put("WorkloadPolicy", fmt.Sprintf(
				`{podSelector: {matchLabels: {app: server}}, ingress: {allow: [{processes: [{path: %[1]s/tcpgood}, {path: %[1]s/udpgood}]}]}}`, dir))
			for _, network := range []string{"tcp", "udp"} {
				bad := asked[network+"bad"]
				bad.drain()
				all := ask(network)
				if count(all, network+"good") == 0 || count(all, network+"bad") != 0 || bad.drain() != 0 {
					t.Errorf("with a policy %q answered", all)
				}
			}
		})
	}
}
