// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// selectorWords spells a selector as kubectl does; an empty one is {}.
func selectorWords(s policy.Selector) string {
	if len(s.Requirements) == 0 {
		return "{}"
	}
	return strings.Join(words(s.Requirements, requirementWords), ",")
}

func requirementWords(r policy.Requirement) string {
	switch r.Operator {
	case policy.In:
		if len(r.Values) == 1 {
			return r.Key + "=" + r.Values[0]
		}
		return r.Key + " in (" + strings.Join(r.Values, ",") + ")"
	case policy.NotIn:
		return r.Key + " notin (" + strings.Join(r.Values, ",") + ")"
	case policy.Exists:
		return r.Key
	case policy.DoesNotExist:
		return "!" + r.Key
	}
	return fmt.Sprintf("%s %s (%s)", r.Key, r.Operator, strings.Join(r.Values, ","))
}

// peerWords names a peer of a policy in namespace own.
func peerWords(own string, p policy.Peer) string {
	switch {
	case p.ServiceAccounts != nil:
		return accountWords(own, *p.ServiceAccounts)
	case p.Namespaces != nil && p.Pods != nil:
		return "namespaceSelector " + selectorWords(*p.Namespaces) + " and podSelector " + selectorWords(*p.Pods)
	case p.Namespaces != nil:
		return "namespaceSelector " + selectorWords(*p.Namespaces)
	case p.Pods != nil && own != "":
		return "podSelector " + selectorWords(*p.Pods) + " in namespace " + own
	case p.Pods != nil:
		return "podSelector " + selectorWords(*p.Pods)
	case p.IPBlock != nil:
		return blockWords(*p.IPBlock)
	case p.Service != nil:
		return "service " + p.Service.Namespace + "/" + p.Service.Name
	case p.Entity != "":
		return "entity " + string(p.Entity)
	case p.Nodes != nil:
		return "nodes " + selectorWords(*p.Nodes)
	}
	return "domainNames " + strings.Join(p.DomainNames, ", ")
}

func accountWords(own string, a policy.ServiceAccounts) string {
	out := "every serviceAccount"
	if len(a.Names) > 0 {
		out = "serviceAccount " + strings.Join(a.Names, " or ")
	}
	switch {
	case a.Namespaces != nil:
		out += " in namespaceSelector " + selectorWords(*a.Namespaces)
	case own != "":
		out += " in namespace " + own
	}
	return out
}

func blockWords(b policy.IPBlock) string {
	out := "ipBlock " + b.CIDR.String()
	if len(b.Except) > 0 {
		out += " except " + strings.Join(words(b.Except, netip.Prefix.String), ", ")
	}
	return out
}

// addressWords says what the cluster knows to be at an address: pods, of the
// host's network too, nodes, Services and what is behind them.
func addressWords(c *policy.Cluster, addr netip.Addr) string {
	var out []string
	for _, pod := range podsAt(c, addr) {
		out = append(out, "pod "+pod.String())
	}
	for _, n := range c.Nodes {
		if slices.Contains(n.IPs, addr) {
			out = append(out, "node "+n.Name)
		}
	}
	for _, p := range c.Pods {
		if p.HostNetwork && slices.Contains(p.IPs, addr) {
			out = append(out, "host-network pod "+p.String())
		}
	}
	for _, s := range c.Services {
		if slices.Contains(s.IPs, addr) {
			out = append(out, "service "+s.Namespace+"/"+s.Name+" itself (judged by the backend chosen)")
		}
	}
	if len(out) == 0 {
		return "no pod, node or service known here"
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}

func protocolWords(p policy.Protocol) string {
	switch p {
	case policy.AnyProtocol:
		return "any protocol"
	case policy.ICMP:
		return "ICMP"
	case policy.TCP:
		return "TCP"
	case policy.UDP:
		return "UDP"
	case policy.ICMPv6:
		return "ICMPv6"
	case policy.SCTP:
		return "SCTP"
	}
	return "protocol " + strconv.Itoa(int(p))
}

// numberWords is "80/TCP"; protocols without ports, and all of one's ports, are
// the protocol alone.
func numberWords(protocol policy.Protocol, number, end uint16) string {
	switch {
	case number == 0:
		return protocolWords(protocol)
	case end == 0:
		return fmt.Sprintf("%d/%s", number, protocolWords(protocol))
	}
	return fmt.Sprintf("%d-%d/%s", number, end, protocolWords(protocol))
}

func portWords(p policy.Port) string {
	if p.Name == "" {
		return numberWords(p.Protocol, p.Number, p.End)
	}
	if p.Protocol == policy.AnyProtocol {
		return "port named " + p.Name
	}
	return "port named " + p.Name + "/" + protocolWords(p.Protocol)
}

// containerPortWords says what a port name means on a pod.
func containerPortWords(pod policy.Pod, p policy.Port) string {
	var out []string
	for _, cp := range namedPorts(pod, p) {
		out = append(out, numberWords(cp.Protocol, cp.Number, 0))
	}
	if len(out) == 0 {
		return "not there on pod " + pod.String()
	}
	return strings.Join(out, ", ") + " on pod " + pod.String()
}

func processWords(processes []policy.Process) []string {
	return words(processes, func(p policy.Process) string { return p.Path })
}

// words is each of a list in words.
func words[T any](list []T, word func(T) string) []string {
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, word(x))
	}
	return out
}
