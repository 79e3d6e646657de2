// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/hex"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/v1alpha1"
)

func (c *checker) exec(p *field.Path, in *v1alpha1.ExecSection) *policy.Exec {
	if in == nil {
		return nil
	}
	out := &policy.Exec{ImageOnly: in.ImageOnly, Action: c.action(p, in.Action)}
	if in.ImageOnly && len(in.Allow) > 0 {
		c.add(p.Child("imageOnly"), "true", "allows every program of the image, so that allow would restrict nothing; remove one of the two")
	}
	seen := make(map[string]bool)
	for i, rule := range in.Allow {
		at := p.Child("allow").Index(i)
		allow := policy.ExecRule{
			Process: c.program(at, rule.Program),
			SHA256:  c.sum(at.Child("sha256"), rule.SHA256),
			Parents: c.programs(at.Child("parents"), rule.Parents),
		}
		if allow.SHA256 != "" && strings.Contains(allow.Path, "*") {
			c.add(at.Child("sha256"), rule.SHA256, "the sum of one file, and the path is a pattern; write the file's path")
		}
		c.once(at, seen, fmt.Sprintf("%q", allow), allow.Path)
		out.Allow = append(out.Allow, allow)
	}
	return out
}

// sum reads a SHA-256; "" is none.
func (c *checker) sum(p *field.Path, s string) string {
	sum, err := hex.DecodeString(s)
	if err != nil || len(sum) != 32 && s != "" {
		c.add(p, s, "not 64 hex digits; write what sha256sum prints")
	}
	return string(sum)
}

// action defaults as the CRD does.
func (c *checker) action(section *field.Path, in v1alpha1.Action) policy.Action {
	switch a := policy.Action(in); a {
	case "":
		return policy.Prevent
	case policy.Prevent, policy.Kill, policy.Report:
		return a
	}
	c.add(section.Child("action"), string(in), "unknown action; write Deny, Kill or Audit")
	return policy.Prevent
}

func (c *checker) capabilities(p *field.Path, in *v1alpha1.CapabilitiesSection) *policy.Capabilities {
	if in == nil {
		return nil
	}
	out := &policy.Capabilities{Action: c.action(p, in.Action)}
	for i, rule := range in.Allow {
		at := p.Child("allow").Index(i)
		out.Allow = append(out.Allow, policy.CapabilityRule{
			Names:     c.capabilitySet(at.Child("names"), rule.Names),
			Processes: c.programs(at.Child("processes"), rule.Processes),
		})
	}
	return out
}

func (c *checker) capabilitySet(p *field.Path, names []v1alpha1.Capability) policy.CapabilitySet {
	var out policy.CapabilitySet
	if len(names) == 0 {
		c.add(p, "", "required; write names such as NET_BIND_SERVICE")
	}
	seen := make(map[string]bool)
	for i, n := range names {
		name := string(n)
		number, known := policy.ParseCapability(name)
		short, long := strings.CutPrefix(name, "CAP_")
		switch {
		case long:
			c.add(p.Index(i), name, "written with CAP_; write "+short)
		case !known:
			c.add(p.Index(i), name, "unknown capability; write a name of capabilities(7) without CAP_, such as NET_RAW")
		default:
			c.once(p.Index(i), seen, name, name)
			out |= 1 << number
		}
	}
	return out
}

// once reports an entry that a list has already.
func (c *checker) once(p *field.Path, seen map[string]bool, entry, value string) {
	if seen[entry] {
		c.add(p, value, "written more than once; remove all but one")
	}
	seen[entry] = true
}
