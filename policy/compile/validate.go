// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/policy"
)

// The functions here refuse what package policy's types rule out in words only:
// two policies of one name; unmasked, mapped or zoned addresses; an exception that
// is not strictly inside its CIDR; a peer of none or several of its groups; ports
// that are no number, range or name; an empty path, a pattern with a sum or in a rule
// of the network; what another kind of policy has; a word that is not of its
// enumeration. To guess at these would be to
// enforce something that nobody wrote.

func validateNetworkPolicy(p *policy.NetworkPolicy) error {
	err := validateSelector(&p.Pods)
	return errors.Join(err, eachRule(p.Rules, func(r policy.Rule) error {
		if len(r.Processes) > 0 {
			return errors.New("processes in a NetworkPolicy")
		}
		return validateAllow(r, false)
	}))
}

func validateWorkloadPolicy(p *policy.WorkloadPolicy) error {
	errs := []error{validateSelector(&p.Pods), validateSelector(p.Namespaces)}
	if p.Mode != policy.Enforce && p.Mode != policy.Audit {
		errs = append(errs, fmt.Errorf("unknown mode %q", p.Mode))
	}
	if p.DenyResponse != policy.Errno && p.DenyResponse != policy.Drop {
		errs = append(errs, fmt.Errorf("unknown deny response %q", p.DenyResponse))
	}
	for _, r := range p.Escalation {
		if r.Action != policy.Kill && r.Action != policy.Ignore {
			errs = append(errs, fmt.Errorf("unknown action %q", r.Action))
		}
	}
	for _, s := range p.AllowedSources {
		errs = append(errs, validatePrefix(s))
	}
	errs = append(errs, validateActs(p))
	return errors.Join(append(errs, eachRule(p.Rules, func(r policy.Rule) error {
		return validateAllow(r, p.Namespaces != nil)
	}))...)
}

func validateClusterNetworkPolicy(p *policy.ClusterNetworkPolicy) error {
	errs := []error{validateSelector(&p.Pods), validateSelector(&p.Namespaces)}
	if p.Tier != policy.Admin && p.Tier != policy.Baseline {
		errs = append(errs, fmt.Errorf("unknown tier %q", p.Tier))
	}
	if p.Priority < 0 || p.Priority > 1000 {
		errs = append(errs, fmt.Errorf("priority %d is not of 0 to 1000", p.Priority))
	}
	return errors.Join(append(errs, eachRule(p.Rules, func(r policy.Rule) error {
		if _, ok := verdicts[r.Action]; !ok {
			return fmt.Errorf("unknown action %q", r.Action)
		}
		if len(r.Processes) > 0 {
			return errors.New("processes in a ClusterNetworkPolicy")
		}
		return validateRule(r, true)
	}))...)
}

func eachRule(rules [2][]policy.Rule, validate func(policy.Rule) error) error {
	var errs []error
	for _, list := range rules {
		for _, r := range list {
			errs = append(errs, validate(r))
		}
	}
	return errors.Join(errs...)
}

// validateAllow validates a rule that can only allow.
func validateAllow(r policy.Rule, wide bool) error {
	if r.Action != "" || r.Unknown {
		return errors.New("action in a rule that can only allow")
	}
	return validateRule(r, wide)
}

// validateRule validates a rule of a policy, cluster-scoped if wide.
func validateRule(r policy.Rule, wide bool) error {
	for _, p := range r.Peers {
		if err := validatePeer(p, wide); err != nil {
			return err
		}
	}
	for _, p := range r.Ports {
		if err := validatePort(p); err != nil {
			return err
		}
	}
	return validatePrograms(r.Processes)
}

// validateActs validates the restrictions of acts.
func validateActs(p *policy.WorkloadPolicy) error {
	for _, by := range restrictions(p) {
		if by != nil && !slices.Contains([]policy.Action{policy.Kill, policy.Prevent, policy.Report}, by.action) {
			return fmt.Errorf("unknown action %q", by.action)
		}
		if by != nil && !slices.Contains([]policy.Fallback{policy.Observe, policy.FallbackKill, policy.Close}, p.Fallback) {
			return fmt.Errorf("unknown fallback %q", p.Fallback)
		}
	}
	var errs []error
	if p.Exec != nil {
		for _, x := range p.Exec.Allow {
			errs = append(errs, validateProgram(selector{x.Path, x.SHA256}), validatePrograms(x.Parents))
		}
	}
	if p.Capabilities != nil {
		for _, x := range p.Capabilities.Allow {
			errs = append(errs, validatePrograms(x.Processes))
		}
	}
	return errors.Join(errs...)
}

func validatePrograms(list []policy.Process) error {
	var errs []error
	for _, p := range list {
		errs = append(errs, validateProgram(selector{path: p.Path}))
	}
	return errors.Join(errs...)
}

func validateProgram(s selector) error {
	folder, _ := s.pattern()
	switch {
	case s.path == "":
		return errors.New("empty process path")
	case strings.Contains(s.path, "\x00"):
		return fmt.Errorf("process path %q", s.path)
	case s.sum != "" && (folder != "" || len(s.sum) != sha256.Size):
		return fmt.Errorf("%d bytes of sum for %q", len(s.sum), s.path)
	}
	return nil
}

func validatePort(p policy.Port) error {
	switch {
	case p.Name != "" && p.Number != 0:
		return fmt.Errorf("port with both the name %q and the number %d", p.Name, p.Number)
	case p.End != 0 && (p.Number == 0 || p.End <= p.Number):
		return fmt.Errorf("port range %d to %d", p.Number, p.End)
	case p.Protocol == policy.AnyProtocol && p.Number != 0:
		return fmt.Errorf("port %d of every protocol", p.Number)
	}
	return nil
}

func validateSelector(s *policy.Selector) error {
	if s == nil {
		return nil
	}
	for _, r := range s.Requirements {
		switch r.Operator {
		case policy.In, policy.NotIn, policy.Exists, policy.DoesNotExist:
		default:
			return fmt.Errorf("unknown operator %q", r.Operator)
		}
	}
	return nil
}

func validatePeer(p policy.Peer, wide bool) error {
	groups := 0
	for _, set := range []bool{
		p.IPBlock != nil, p.Namespaces != nil || p.Pods != nil, p.ServiceAccounts != nil, p.Service != nil,
		p.Entity != "", p.Nodes != nil, p.DomainNames != nil,
	} {
		if set {
			groups++
		}
	}
	if groups != 1 {
		return fmt.Errorf("peer with %d groups of fields instead of one", groups)
	}
	switch {
	case p.IPBlock != nil:
		return validateBlock(p.IPBlock)
	case p.Entity != "" && !slices.Contains([]policy.Entity{policy.KubeAPIServer, policy.EntityNode, policy.World}, p.Entity):
		return fmt.Errorf("unknown entity %q", p.Entity)
	case wide && (p.Pods != nil && p.Namespaces == nil || p.ServiceAccounts != nil && p.ServiceAccounts.Namespaces == nil):
		return errors.New("peer of no namespace in a cluster-scoped policy")
	case p.ServiceAccounts != nil:
		return validateSelector(p.ServiceAccounts.Namespaces)
	}
	return errors.Join(validateSelector(p.Namespaces), validateSelector(p.Pods), validateSelector(p.Nodes))
}

func validateBlock(b *policy.IPBlock) error {
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

// validateObjects validates some objects of a cluster.
func validateObjects(c snapshot, refs []policy.Ref) error {
	var errs []error
	for _, ref := range refs {
		o := c.object(ref)
		if o == nil {
			continue
		}
		for _, addr := range o.ips {
			if !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" {
				errs = append(errs, fmt.Errorf("%s: address %s is not a plain one", ref, addr))
			}
		}
		for _, p := range o.ports {
			if p.Number == 0 || p.Protocol == policy.AnyProtocol {
				errs = append(errs, fmt.Errorf("%s: container port %q without number or protocol", ref, p.Name))
			}
		}
		if ref.Kind != policy.KindNode {
			continue
		}
		for _, p := range c.Nodes[ref.Name].PodCIDRs {
			if err := validatePrefix(p); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", ref, err))
			}
		}
	}
	return errors.Join(errs...)
}
