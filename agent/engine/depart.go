// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"

	"github.com/sluice-io/sluice/policy"
)

// holdersFile has who had which address, by address, so that a change of hands is
// seen too that came while no agent ran.
const holdersFile = "holders.json"

// holder is the pod that has an address: its name and UID, without which another pod
// of the name would be taken for it.
type holder string

func holderOf(key policy.PodKey, uid string) holder { return holder(key.String() + "/" + uid) }

// holders lists who has which address.
func (e *Engine) holders(c *policy.Cluster) map[netip.Addr]holder {
	out := make(map[netip.Addr]holder, len(c.Pods))
	for key, p := range c.Pods {
		if p.HostNetwork {
			continue
		}
		for _, a := range p.IPs {
			out[a] = holderOf(key, p.UID)
		}
	}
	for _, p := range e.pods { // known better than by a manifest, which may have no UID
		for _, a := range p.IPs {
			out[a] = holderOf(p.key(), p.ContainerID)
		}
	}
	return out
}

// depart has the flows judged anew whose peer's address has another owner than
// before, or none: connections follow the rules, and an address is no right.
func (e *Engine) depart(now map[netip.Addr]holder) error {
	if e.heldOf == e.merging {
		return nil
	}
	if !maps.Equal(e.held, now) {
		if err := e.handOver(now); err != nil {
			return err
		}
	}
	e.held, e.heldOf = now, e.merging
	return nil
}

// handOver goes over to other holders. They are stored last: what was done already
// may be done again.
func (e *Engine) handOver(now map[netip.Addr]holder) error {
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
	b, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("encode holders of addresses: %w", err)
	}
	return writeIfChanged(filepath.Join(e.cfg.StateDir, holdersFile), b)
}
