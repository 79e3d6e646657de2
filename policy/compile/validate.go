// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluice-io/sluice/policy"
)

// validate refuses what package policy's types rule out in words only: two
// policies of one name; unmasked, mapped or zoned addresses; an exception that is
// not strictly inside its CIDR; a peer with both a block and selectors; a port
// number of every protocol; an empty path; a word that is not of its enumeration.
// To guess at these would be to enforce something that nobody wrote.
func validate(in Input) error {
	var errs []error
	seen := make(map[policy.Ref]bool)
	check := func(ref policy.Ref, pods policy.Selector, rules [2][]policy.Rule, more error) {
		err := errors.Join(validateSelector(pods), more)
		for _, list := range rules {
			for _, r := range list {
				err = errors.Join(err, validateRule(r))
			}
		}
		if seen[ref] {
			err = errors.Join(err, errors.New("there twice"))
		}
		seen[ref] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ref, err))
		}
	}
	for _, p := range in.Cluster.NetworkPolicies {
		check(p.Ref(), p.Pods, p.Rules, nil)
	}
	for _, p := range in.Cluster.WorkloadPolicies {
		check(p.Ref(), p.Pods, p.Rules, validateWords(p))
	}
	for key, pod := range in.Cluster.Pods {
		for _, addr := range pod.IPs {
			if !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" {
				errs = append(errs, fmt.Errorf("pod %s: address %s is not a plain one", key, addr))
			}
		}
	}
	return errors.Join(errs...)
}

func validateWords(p *policy.WorkloadPolicy) error {
	if p.Mode != policy.Enforce && p.Mode != policy.Audit {
		return fmt.Errorf("unknown mode %q", p.Mode)
	}
	if p.DenyResponse != policy.Errno && p.DenyResponse != policy.Drop {
		return fmt.Errorf("unknown deny response %q", p.DenyResponse)
	}
	for _, r := range p.Escalation {
		if r.Action != policy.Kill && r.Action != policy.Ignore {
			return fmt.Errorf("unknown action %q", r.Action)
		}
	}
	return nil
}

func validateSelector(s policy.Selector) error {
	for _, r := range s.Requirements {
		switch r.Operator {
		case policy.In, policy.NotIn, policy.Exists, policy.DoesNotExist:
		default:
			return fmt.Errorf("unknown operator %q", r.Operator)
		}
	}
	return nil
}

func validateRule(r policy.Rule) error {
	for _, p := range r.Peers {
		if err := validatePeer(p); err != nil {
			return err
		}
	}
	for _, p := range r.Ports {
		if p.Protocol == policy.AnyProtocol && p.Number != 0 {
			return fmt.Errorf("port %d of every protocol", p.Number)
		}
	}
	for _, p := range r.Processes {
		if p.Path == "" {
			return errors.New("empty process path")
		}
	}
	return nil
}

func validatePeer(p policy.Peer) error {
	var err error
	for _, s := range []*policy.Selector{p.Namespaces, p.Pods} {
		if s != nil {
			err = errors.Join(err, validateSelector(*s))
		}
	}
	b := p.IPBlock
	if b == nil {
		return err
	}
	if p.Namespaces != nil || p.Pods != nil {
		return errors.New("peer with both a block and selectors")
	}
	if err := validatePrefix(b.CIDR); err != nil {
		return err
	}
	for _, x := range b.Except {
		if err := validatePrefix(x); err != nil {
			return err
		}
		if x.Bits() <= b.CIDR.Bits() || !b.CIDR.Contains(x.Addr()) {
			return fmt.Errorf("exception %s is not strictly inside %s", x, b.CIDR)
		}
	}
	return nil
}

func validatePrefix(p netip.Prefix) error {
	if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
		return fmt.Errorf("prefix %s is not a masked, plain one", p)
	}
	return nil
}
