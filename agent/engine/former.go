// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// formersFile has what pods were before their labels changed.
const formersFile = "formers.json"

// How many are kept: of one address (FORMERS_EACH of bpf/include/types.h), and of all.
// Connections older than what is kept are judged by what their peer is now; Counters has
// what was not kept as refused by formers.
const (
	formersEach = 4
	maxFormers  = 1024
)

// former is what the pod at an address was, to connections that began in a span: what
// merely leaves a rule keeps its identity for them, until its address changes hands.
type former struct {
	Addr   netip.Addr
	Holder holder
	datapath.Span
	compile.Former
}

// formersOf are the formers under a cluster that is to come in force, with the present
// holders of addresses, the oldest first, and how many there is no room for.
func (e *Engine) formersOf(c *policy.Cluster, held map[netip.Addr]holder) (out []former, over int) {
	for _, f := range slices.Concat(e.formers, e.relabelled(c, held)) {
		if held[f.Addr] == f.Holder {
			out = append(out, f)
		}
	}
	all := len(out)
	slices.Reverse(out)
	of := make(map[netip.Addr]int)
	out = slices.DeleteFunc(out, func(f former) bool {
		of[f.Addr]++
		return of[f.Addr] > formersEach
	})
	out = out[:min(len(out), maxFormers)]
	slices.Reverse(out)
	return out, all - len(out)
}

// relabelled are the pods as they were that have stayed at their addresses, with other
// labels under c.
func (e *Engine) relabelled(c *policy.Cluster, held map[netip.Addr]holder) []former {
	was := e.judged
	if was == nil || same(was.Pods, c.Pods) && reflect.ValueOf(was.Namespaces).Pointer() == reflect.ValueOf(c.Namespaces).Pointer() {
		return nil
	}
	last := make(map[netip.Addr]uint64)
	for _, f := range e.formers {
		last[f.Addr] = f.Until
	}
	var out []former
	now := uint64(clock(unix.CLOCK_BOOTTIME))
	for key, p := range was.Pods {
		before, after := was.Namespaces[key.Namespace].Labels, c.Namespaces[key.Namespace].Labels
		q, still := c.Pods[key]
		if !still || p.HostNetwork || maps.Equal(p.Labels, q.Labels) && p.ServiceAccount == q.ServiceAccount &&
			slices.Equal(p.Ports, q.Ports) && maps.Equal(before, after) {
			continue
		}
		for _, a := range p.IPs {
			if held[a] == e.held[a] {
				out = append(out, former{a, e.held[a], datapath.Span{From: last[a], Until: now}, compile.Former{Pod: p, NamespaceLabels: before}})
			}
		}
	}
	return out
}

// numbered gives formers the keys under which the kernel looks for them.
func numbered(list []former) (map[compile.FormerKey]compile.Former, map[compile.FormerKey]datapath.Span) {
	pods := make(map[compile.FormerKey]compile.Former, len(list))
	spans := make(map[compile.FormerKey]datapath.Span, len(list))
	of := make(map[netip.Addr]uint32)
	for _, f := range list {
		k := compile.FormerKey{Addr: f.Addr, N: of[f.Addr]}
		of[f.Addr]++
		pods[k], spans[k] = f.Former, f.Span
	}
	return pods, spans
}

// keep notes the formers that are in force, how many were too many, and the cluster.
func (e *Engine) keep(list []former, over int, c *policy.Cluster) error {
	e.judged = c
	e.over.Add(uint64(over))
	if slices.EqualFunc(e.formers, list, func(a, b former) bool { return a.Addr == b.Addr && a.Span == b.Span }) {
		return nil
	}
	e.formers = list
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode former pods: %w", err)
	}
	return writeIfChanged(filepath.Join(e.cfg.StateDir, formersFile), b)
}
