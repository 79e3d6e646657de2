// SPDX-License-Identifier: Apache-2.0

// Package nat is the point after DNAT: netfilter programs that judge a pod's
// frames to a Service by the backend that was chosen for them.
package nat

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/state"
)

// Priorities of the programs at PREROUTING: after DNAT (NF_IP_PRI_NAT_DST, -100).
// A netfilter link cannot be updated, so a new one takes the free one of the two.
const (
	priority      = -99
	otherPriority = -98
)

// families are the programs by what they see.
var families = map[string]link.NetfilterProtocolFamily{
	natProgNatFour: link.NetfilterProtoIPv4,
	natProgNatSix:  link.NetfilterProtoIPv6,
}

// Load loads the programs. The caller must close the collection.
func Load(s *state.State, c door.Config) (*ebpf.Collection, error) {
	spec, err := loadNat()
	if err != nil {
		return nil, fmt.Errorf("read embedded nat: %w", err)
	}
	if err := c.Set(spec); err != nil {
		return nil, err
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("nat: %w", err)
	}
	return coll, nil
}

// Install loads the programs, attaches them in the network namespace of the caller
// and pins their links; one with the same instructions stays.
func Install(s *state.State, c door.Config) error {
	coll, err := Load(s, c)
	if err != nil {
		return err
	}
	defer coll.Close()
	for name, family := range families {
		if err := replace(s.Dir.Link(name), coll.Programs[name], family); err != nil {
			return errors.Join(err, Remove(s.Dir))
		}
	}
	return nil
}

// replace attaches the new program before the old one goes: what a frame meets of
// both says the same.
func replace(path string, p *ebpf.Program, family link.NetfilterProtocolFamily) error {
	same, err := state.Linked(path, p)
	if err != nil || same {
		return err
	}
	at, err := free(path)
	if err != nil {
		return err
	}
	l, err := link.AttachNetfilter(link.NetfilterOptions{
		Program: p, ProtocolFamily: family, Hook: link.NetfilterInetPreRouting, Priority: at,
	})
	if err != nil {
		return fmt.Errorf("attach after DNAT: %w", err)
	}
	return state.PinLink(l, path)
}

// free is the priority that the pinned link does not hold.
func free(path string) (int32, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return priority, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open pinned link %s: %w", path, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, fmt.Errorf("read link %s: %w", path, err)
	}
	if nf := info.Netfilter(); nf != nil && nf.Priority == priority {
		return otherPriority, nil
	}
	return priority, nil
}

// Remove detaches the programs; missing ones are no error.
func Remove(dir state.Dir) error {
	var errs []error
	for name := range families {
		errs = append(errs, state.Unlink(dir.Link(name)))
	}
	return errors.Join(errs...)
}
