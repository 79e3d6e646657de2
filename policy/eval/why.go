// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// why says in words that the flow does not match this part of a rule: what was
// there and what was wanted. It is empty for nothing.
func (q *question) why(own string, r policy.Rule, missed part) string {
	switch missed {
	case unknownPart:
		return "a peer of the rule has no field known here, so it accepts nothing"
	case peerPart:
		return q.whyPeer(own, r.Peers)
	case portPart:
		return q.whyPort(own, r)
	case processPart:
		there := "process " + q.Process
		if q.Process == "" {
			there = "process not known"
		}
		return there + ", not " + strings.Join(processWords(r.Processes), " or ")
	}
	return ""
}

func (q *question) whyPeer(own string, peers []policy.Peer) string {
	there := fmt.Sprintf("peer %s is %s", q.Peer, addressWords(q.c, q.Peer))
	return there + ", " + strings.Join(words(peers, func(p policy.Peer) string { return notPeer(own, p) }), ", ")
}

func notPeer(own string, p policy.Peer) string {
	name := peerWords(own, p)
	switch {
	case p.ServiceAccounts != nil:
		return "not under " + name
	case isPodSelector(p), p.Nodes != nil:
		return "not selected by " + name
	case p.IPBlock != nil:
		return "not in " + name
	case p.Service != nil:
		return "not behind " + name
	case p.Entity != "":
		return "not of " + name
	}
	return "and " + name + " match nothing in this version"
}

func (q *question) whyPort(own string, r policy.Rule) string {
	wanted := words(r.Ports, func(p policy.Port) string {
		if p.Name == "" {
			return portWords(p)
		}
		pods := q.destinations(own, r.Peers)
		if len(pods) == 0 {
			return portWords(p) + " (no pod there)"
		}
		return portWords(p) + " (" + strings.Join(words(pods, func(pod policy.Pod) string {
			return containerPortWords(pod, p)
		}), ", ") + ")"
	})
	there := "port " + numberWords(q.Protocol, q.Port, 0)
	if q.Port == 0 {
		there = "protocol " + strings.TrimPrefix(protocolWords(q.Protocol), "protocol ") + " without a port"
	}
	return there + ", not " + strings.Join(wanted, " or ")
}
