// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-io/sluice/policy"
)

// notSupported begins the reason of every refusal of something that is right by
// its API but that this version cannot enforce. What to write instead follows.
const notSupported = "not supported by this version; "

// checker collects what is wrong with one object.
type checker struct {
	errs     []error
	patterns int // of paths, so far
}

func (c *checker) add(p *field.Path, value, reason string) {
	c.errs = append(c.errs, &policy.FieldError{Field: p.String(), Value: shorten(value), Reason: reason})
}

// refuse reports a field that must not be there.
func (c *checker) refuse(present bool, p *field.Path, value string) {
	if present {
		c.add(p, value, notSupported+"remove it")
	}
}

// format reports what a Kubernetes format check has to say about a value.
func (c *checker) format(p *field.Path, value string, check func(string) []string) {
	if msgs := check(value); len(msgs) > 0 {
		c.add(p, value, strings.Join(msgs, "; "))
	}
}

// shorten keeps what an error quotes to one short line.
func shorten(s string) string {
	const limit = 64
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// meta checks an object's name, namespace and labels and fills in the namespace.
func (c *checker) meta(k *kind) policy.Ref {
	p := field.NewPath("metadata")
	check := validation.IsDNS1123Subdomain
	if k.name == policy.KindNamespace {
		check = validation.IsDNS1123Label
	}
	if k.object.GetName() == "" {
		c.add(p.Child("name"), "", "required; write the object's name")
	} else {
		c.format(p.Child("name"), k.object.GetName(), check)
	}
	switch ns := k.object.GetNamespace(); {
	case k.clusterScoped && ns != "":
		c.add(p.Child("namespace"), ns, "a "+string(k.name)+" has no namespace; remove it")
	case !k.clusterScoped && ns == "":
		k.object.SetNamespace(metav1.NamespaceDefault)
	case !k.clusterScoped:
		c.format(p.Child("namespace"), ns, validation.IsDNS1123Label)
	}
	c.labels(p.Child("labels"), k.object.GetLabels())
	return policy.Ref{Kind: k.name, Namespace: k.object.GetNamespace(), Name: k.object.GetName()}
}

func (c *checker) labels(p *field.Path, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		c.format(p.Key(key), key, content.IsLabelKey)
		c.format(p.Key(key), labels[key], content.IsLabelValue)
	}
}

// selector returns nil for nil.
func (c *checker) selector(p *field.Path, s *metav1.LabelSelector) *policy.Selector {
	if s == nil {
		return nil
	}
	out := new(policy.Selector)
	c.labels(p.Child("matchLabels"), s.MatchLabels)
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		out.Requirements = append(out.Requirements,
			policy.Requirement{Key: key, Operator: policy.In, Values: []string{s.MatchLabels[key]}})
	}
	for i, expr := range s.MatchExpressions {
		out.Requirements = append(out.Requirements, c.requirement(p.Child("matchExpressions").Index(i), expr))
	}
	return out
}

func (c *checker) requirement(p *field.Path, expr metav1.LabelSelectorRequirement) policy.Requirement {
	c.format(p.Child("key"), expr.Key, content.IsLabelKey)
	values := p.Child("values")
	op := policy.Operator(expr.Operator)
	switch op {
	case policy.In, policy.NotIn:
		if len(expr.Values) == 0 {
			c.add(values, "", "required with operator In or NotIn")
		}
	case policy.Exists, policy.DoesNotExist:
		if len(expr.Values) > 0 {
			c.add(values, strings.Join(expr.Values, ","), "remove it; operators Exists and DoesNotExist take no values")
		}
	default:
		c.add(p.Child("operator"), string(op), "unknown operator; write In, NotIn, Exists or DoesNotExist")
	}
	for i, v := range expr.Values {
		c.format(values.Index(i), v, content.IsLabelValue)
	}
	return policy.Requirement{Key: expr.Key, Operator: op, Values: expr.Values}
}
