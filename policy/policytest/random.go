// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"fmt"
	"math/rand/v2"

	"github.com/sluice-io/sluice/policy"
)

// The stocks that clusters and flows draw from.
var (
	podLabels       = []string{"app", "tier", "env"}
	namespaceLabels = []string{"team", "env", "kubernetes.io/metadata.name"}
	labelValues     = []string{"a", "b", "c"}
	ports           = []uint16{53, 80, 443, 8080}
	paths           = []string{"/bin/busybox", "/bin/nc", "/bin/wget", "/usr/bin/curl", "/usr/bin/payments"}
)

func namespaceName(i int) string { return fmt.Sprintf("ns%d", i) }
func podName(i int) string       { return fmt.Sprintf("pod%d", i) }

func (c *Case) randomNamespaceName(r *rand.Rand) string {
	return namespaceName(r.IntN(c.size.Namespaces))
}

func randomLabels(r *rand.Rand, keys []string) map[string]string {
	labels := map[string]string{}
	for _, k := range keys {
		if r.IntN(3) > 0 {
			labels[k] = pick(r, labelValues...)
		}
	}
	return labels
}

// randomNamespace has labels; its name is among them only as the reader of a
// manifest may have left it, that is not at all.
func randomNamespace(r *rand.Rand, name string) policy.Namespace {
	return policy.Namespace{Name: name, Labels: randomLabels(r, namespaceLabels[:2])}
}

// randomPod makes the i-th pod, a local one if i is below size.Local.
func (c *Case) randomPod(r *rand.Rand, i int) policy.Pod {
	pod := policy.Pod{
		PodKey: policy.PodKey{Namespace: c.randomNamespaceName(r), Name: podName(i)},
		UID:    fmt.Sprintf("uid-%d-%d", i, r.IntN(1000)),
		Labels: randomLabels(r, podLabels),
	}
	c.randomIPs(r, i, &pod)
	return pod
}

// randomIPs gives the i-th pod its addresses. Now and then two pods share one, as
// when an address was handed out again before the former pod is gone.
func (c *Case) randomIPs(r *rand.Rand, i int, pod *policy.Pod) {
	pod.IPs = nil
	local := i < c.size.Local
	pod.HostNetwork = !local && r.IntN(8) == 0
	if local || r.IntN(5) > 0 {
		pod.IPs = append(pod.IPs, randomAddr4(r))
	}
	if local || r.IntN(2) > 0 {
		pod.IPs = append(pod.IPs, randomAddr6(r))
	}
}

// randomSelector selects by up to two labels; every other one is empty.
func randomSelector(r *rand.Rand, keys []string, values []string) policy.Selector {
	var s policy.Selector
	for range pick(r, 0, 0, 1, 2) {
		q := policy.Requirement{
			Key:      pick(r, keys...),
			Operator: pick(r, policy.In, policy.In, policy.NotIn, policy.Exists, policy.DoesNotExist),
		}
		if q.Operator == policy.In || q.Operator == policy.NotIn {
			for range 1 + r.IntN(2) {
				q.Values = append(q.Values, pick(r, values...))
			}
		}
		s.Requirements = append(s.Requirements, q)
	}
	return s
}

func (c *Case) randomPeer(r *rand.Rand) policy.Peer {
	var p policy.Peer
	if r.IntN(3) == 0 {
		b := policy.IPBlock{CIDR: randomPrefix(r)}
		for range r.IntN(3) {
			if !b.CIDR.IsSingleIP() {
				b.Except = append(b.Except, randomWithin(r, b.CIDR))
			}
		}
		p.IPBlock = &b
		return p
	}
	which := 1 + r.IntN(3)
	if which&1 != 0 {
		s := randomSelector(r, podLabels, labelValues)
		p.Pods = &s
	}
	if which&2 != 0 {
		s := randomSelector(r, namespaceLabels, append(c.namespaces(), labelValues...))
		p.Namespaces = &s
	}
	return p
}

// randomRules are up to four rules; processes are named if withProcesses.
func (c *Case) randomRules(r *rand.Rand, withProcesses bool) []policy.Rule {
	var rules []policy.Rule
	for range r.IntN(5) {
		var rule policy.Rule
		if r.IntN(4) > 0 {
			for range 1 + r.IntN(3) {
				rule.Peers = append(rule.Peers, c.randomPeer(r))
			}
		}
		for range pick(r, 0, 0, 1, 3) {
			rule.Ports = append(rule.Ports, policy.Port{
				Protocol: pick(r, policy.TCP, policy.TCP, policy.UDP),
				Number:   pick(r, append([]uint16{0}, ports...)...),
			})
		}
		for range r.IntN(3) {
			if withProcesses {
				rule.Processes = append(rule.Processes, policy.Process{Path: pick(r, paths...)})
			}
		}
		rules = append(rules, rule)
	}
	return rules
}

func (c *Case) randomNetworkPolicy(r *rand.Rand, i int) *policy.NetworkPolicy {
	p := &policy.NetworkPolicy{
		Namespace: c.randomNamespaceName(r),
		Name:      fmt.Sprintf("np%d", i),
		Pods:      randomSelector(r, podLabels, labelValues),
	}
	for d := range p.Isolates {
		p.Isolates[d] = r.IntN(3) > 0
		// Rules of a direction that policyTypes does not name are not in force.
		p.Rules[d] = c.randomRules(r, false)
	}
	return p
}

func (c *Case) randomWorkloadPolicy(r *rand.Rand, i int) *policy.WorkloadPolicy {
	p := &policy.WorkloadPolicy{
		Namespace:    c.randomNamespaceName(r),
		Name:         fmt.Sprintf("wp%d", i),
		Pods:         randomSelector(r, podLabels, labelValues),
		Mode:         pick(r, policy.Enforce, policy.Enforce, policy.Audit),
		DenyResponse: pick(r, policy.Errno, policy.Drop),
	}
	if r.IntN(5) > 0 {
		p.Isolates[policy.Egress] = true
		p.Rules[policy.Egress] = c.randomRules(r, true)
	}
	for range r.IntN(3) {
		p.Escalation = append(p.Escalation, policy.EscalationRule{
			Classes: []policy.Class{policy.Privileges},
			Action:  pick(r, policy.Kill, policy.Ignore),
		})
	}
	return p
}

// randomPrograms are sets of paths, some named by rules and some not.
func randomPrograms(r *rand.Rand) [][]string {
	var out [][]string
	for range r.IntN(4) {
		var set []string
		for range r.IntN(4) {
			set = append(set, pick(r, append([]string{"/bin/unnamed"}, paths...)...))
		}
		out = append(out, set)
	}
	return out
}
