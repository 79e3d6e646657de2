// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/v1alpha1"
)

func (c *checker) escalation(p *field.Path, in *v1alpha1.EscalationSection) []policy.EscalationRule {
	if in == nil {
		return nil
	}
	c.refuse(in.Default != "" && in.Default != v1alpha1.EscalationAction(policy.Ignore), p.Child("default"), string(in.Default))
	var out []policy.EscalationRule
	for i, r := range in.Rules {
		out = append(out, c.escalationRule(p.Child("rules").Index(i), r))
	}
	return out
}

func (c *checker) escalationRule(p *field.Path, in v1alpha1.EscalationRule) policy.EscalationRule {
	classes := p.Child("classes")
	if len(in.Classes) == 0 {
		c.add(classes, "", "required; write Privileges")
	}
	var out policy.EscalationRule
	for i, class := range in.Classes {
		switch {
		case class != v1alpha1.EscalationClass(policy.Privileges):
			c.refuse(true, classes.Index(i), string(class))
		case slices.Contains(in.Classes[:i], class):
			c.add(classes.Index(i), string(class), "written more than once; remove all but one")
		}
		out.Classes = append(out.Classes, policy.Class(class))
	}
	out.Action = policy.Action(in.Action)
	switch out.Action {
	case policy.Kill, policy.Ignore:
	case "":
		c.add(p.Child("action"), "", "required; write Kill or Ignore")
	default:
		c.add(p.Child("action"), string(in.Action), notSupported+"write Kill or Ignore")
	}
	c.refuse(len(in.Allow) > 0, p.Child("allow"), "")
	c.refuse(in.Quarantine, p.Child("quarantine"), "true")
	return out
}
