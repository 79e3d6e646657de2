// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// TestProcessListens lets one program of a pod be reached and no other.
func TestProcessListens(t *testing.T) {
	for topology, cfg := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cfg)
			dir := mustDir(t)
			good, bad := copyOf(t, dir, "good"), copyOf(t, dir, "bad")
			server, client := w.pod("server"), w.pod("client")
			for i, network := range []string{"tcp", "udp"} {
				w.serveFrom(server, good, network, 80+uint16(i))
				w.serveFrom(server, bad, network, 90+uint16(i))
			}
			reach := func(what string, ofGood, ofBad int) {
				t.Helper()
				var tries []try
				for _, ip := range []netip.Addr{server.IPv4(), server.IPv6()} {
					tries = append(tries,
						try{ofGood, []string{"dial", "tcp", at(ip, 80)}}, try{ofGood, []string{"dial", "udp", at(ip, 81)}},
						try{ofBad, []string{"dial", "tcp", at(ip, 90)}}, try{ofBad, []string{"dial", "udp", at(ip, 91)}})
				}
				w.expectAll(what, client, tries)
			}
			reach("no policy", ok, ok)
			kept, cut := w.stream(client, built.probe, "tcp", at(server.IPv4(), 80)), w.stream(client, built.probe, "tcp", at(server.IPv4(), 90), "--wait", "1s")
			w.putAs("WorkloadPolicy", "listen", strings.Replace(
				fmt.Sprintf(`{podSelector: {matchLabels: {app: server}}, ingress: {allow: [{processes: [{path: %s}]}]}}`, good), "\n", "", -1))
			reach("good alone", ok, silence)
			cut.cut()
			kept.lossless()
			w.flow(server, "a flow with the program that is reached", func(f *rpc.Flow) bool {
				return f.Direction == "ingress" && f.Verdict == "allowed" && f.Destination.Process != nil && f.Destination.Process.Path == good
			})
			w.flow(server, "a denied flow", func(f *rpc.Flow) bool {
				return f.Direction == "ingress" && f.Verdict == "denied" && len(f.DeniedBy) == 1 && f.DeniedBy[0] == "WorkloadPolicy/shop/listen"
			})
			w.expectOf(eperm, server, bad, "serve", "tcp", "[::]:8088")
			w.expectOf(ok, server, bad, "dial", "tcp", at(server.IPv4(), 80), "--from-port", "0")
			w.kill9()
			reach("without an agent", ok, silence)
		})
	}
}

// A connection that one program accepts and another answers is the other's.
func TestAcceptedByAnother(t *testing.T) {
	w := newWorld(t, harness.Config{})
	dir := mustDir(t)
	good, bad := copyOf(t, dir, "good"), copyOf(t, dir, "bad")
	server, client := w.pod("server"), w.pod("client")
	w.keep(server, good, "serve-by", good, "[::]:80").await("ready")
	w.keep(server, good, "serve-by", bad, "[::]:81").await("ready")
	reach := func(what string, byBad int) {
		t.Helper()
		w.expectAll(what, client, []try{
			{ok, []string{"dial", "tcp", at(server.IPv4(), 80)}}, {byBad, []string{"dial", "tcp", at(server.IPv4(), 81)}},
			{ok, []string{"dial", "tcp", at(server.IPv6(), 80)}}, {byBad, []string{"dial", "tcp", at(server.IPv6(), 81)}},
		})
	}
	reach("no policy", ok)
	w.flow(server, "a flow with the program that listens", func(f *rpc.Flow) bool {
		return f.Direction == "ingress" && f.Destination.Process != nil && f.Destination.Process.Path == good
	})
	w.putAs("WorkloadPolicy", "listen", fmt.Sprintf(
		`{podSelector: {matchLabels: {app: server}}, ingress: {allow: [{processes: [{path: %s}]}]}}`, good))
	reach("good alone", silence)
}
