// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"

	"github.com/sluice-io/sluice/policy"
)

// holder is the pod that has an address. A pod of the same name with another UID is
// another pod.
type holder struct {
	pod policy.PodKey
	uid string
}

// holders lists who has which address.
func (e *Engine) holders(c *policy.Cluster) map[netip.Addr]holder {
	out := make(map[netip.Addr]holder, len(c.Pods))
	for key, p := range c.Pods {
		if p.HostNetwork {
			continue
		}
		for _, a := range p.IPs {
			out[a] = holder{key, p.UID}
		}
	}
	for _, p := range e.pods { // known better than by a manifest, which may have no UID
		for _, a := range p.IPs {
			out[a] = holder{p.key(), p.ContainerID}
		}
	}
	return out
}

// depart has the flows judged anew whose peer's address has another owner than
// before, or none: connections follow the rules, and an address is no right.
func (e *Engine) depart(c *policy.Cluster) error {
	if e.heldOf == e.merging { // the same pods at the same addresses
		return nil
	}
	now := e.holders(c)
	var gone []netip.Addr
	for a, was := range e.held {
		if now[a] != was {
			gone = append(gone, a)
		}
	}
	if len(gone) > 0 {
		if err := e.dp.Depart(gone); err != nil {
			return err
		}
	}
	e.held, e.heldOf = now, e.merging
	return nil
}
