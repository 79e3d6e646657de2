// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/policytest"
)

// TestTraceAgrees: what a Trace shows layer by layer gives the verdict that Judge
// gives, and the rule that is named is the one shown to decide.
func TestTraceAgrees(t *testing.T) {
	seed := rand.Uint64()
	verdicts := map[policy.Verdict]int{}
	for round := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, round))
		c := policytest.Random(r, policytest.Small)
		for i := range 200 {
			if i%20 == 19 {
				c = c.Edit(r)
			}
			f := c.Flow(r)
			want := Judge(c.Cluster, f)
			e := Trace(c.Cluster, f)
			if diff := cmp.Diff(want, e.Verdict); diff != "" {
				t.Fatalf("seed %d, round %d: %+v: -Judge +Trace:\n%s", seed, round, f, diff)
			}
			want.AuditDenied, want.Errno = false, false // not of the layers
			if diff := cmp.Diff(want, retold(e)); diff != "" {
				t.Fatalf("seed %d, round %d: %+v: -Judge +layers:\n%s\n%+v", seed, round, f, diff, e.Layers)
			}
			v := e.Verdict
			v.Rule.Policy.Namespace, v.Rule.Policy.Name, v.Rule.Index = "", "", 0
			verdicts[v]++
		}
	}
	for v, n := range verdicts {
		t.Logf("%6d %+v", n, v)
	}
}

// retold is the verdict by the layers of an Explanation alone.
func retold(e Explanation) policy.Verdict {
	v := policy.Verdict{Allowed: true, Reason: policy.ReasonNoPolicy}
	for _, l := range e.Layers {
		switch l.Outcome {
		case Accepted, Denied, Allowed:
			if v.Allowed {
				v = policy.Verdict{Allowed: l.Outcome != Denied, Reason: policy.ReasonPolicy, Rule: decided(l)}
			}
		case DefaultDeny:
			v = policy.Verdict{Reason: policy.ReasonDefaultDeny, Kind: policy.Kind(l.Name)}
		}
	}
	return v
}

func decided(l LayerTrace) policy.RuleRef {
	for _, p := range l.Policies {
		for _, r := range p.Rules {
			if r.Decided && r.Matched && !p.Audit {
				return policy.RuleRef{Policy: policy.Ref(p.PolicyName), Index: r.Index}
			}
		}
	}
	return policy.RuleRef{}
}

// TestWhy: a rule that does not match has a reason, one that matches has none.
func TestWhy(t *testing.T) {
	seed := rand.Uint64()
	for round := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, round))
		c := policytest.Random(r, policytest.Small)
		for range 100 {
			f := c.Flow(r)
			for _, l := range Trace(c.Cluster, f).Layers {
				for _, p := range l.Policies {
					for _, rule := range p.Rules {
						if rule.Matched != (rule.Why == "") {
							t.Fatalf("seed %d, round %d: %+v: %s %+v", seed, round, f, p.PolicyName, rule)
						}
					}
				}
			}
		}
	}
}
