// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/agent/api"
	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// unfit is what the kernel's maps have no room for: policies of manifests that are
// not in force. In their place stand denials of all that they are about.
type unfit struct {
	policies map[policy.Ref]error
	// shut: there was no room even for these, so the pods that they select are closed.
	shut   bool
	closes map[policy.PodKey]bool
}

// rest is c with denials in the place of the policies that do not fit, or without them
// if their pods are closed.
func (u *unfit) rest(c *policy.Cluster) *policy.Cluster {
	if len(u.policies) == 0 {
		return c
	}
	out := *c
	out.ClusterNetworkPolicies = fitting(u, c.ClusterNetworkPolicies, denyCluster)
	out.NetworkPolicies = fitting(u, c.NetworkPolicies, denyNetwork)
	out.WorkloadPolicies = fitting(u, c.WorkloadPolicies, denyWorkload)
	return &out
}

// object is a policy of any kind.
type object interface {
	comparable
	Ref() policy.Ref
}

func fitting[P object](u *unfit, list []P, deny func(P) P) []P {
	out := make([]P, 0, len(list))
	for _, p := range list {
		switch {
		case u.policies[p.Ref()] == nil:
			out = append(out, p)
		case !u.shut:
			out = append(out, deny(p))
		}
	}
	return out
}

// denyNetwork isolates what p isolates, and allows nothing.
func denyNetwork(p *policy.NetworkPolicy) *policy.NetworkPolicy {
	d := *p
	d.Rules = [2][]policy.Rule{}
	return &d
}

// denyWorkload does so too. What p says of escalation costs no room.
func denyWorkload(p *policy.WorkloadPolicy) *policy.WorkloadPolicy {
	d := *p
	d.Rules, d.AllowedSources = [2][]policy.Rule{}, nil
	if p.Mode == policy.Audit { // it isolates nothing, so nothing is denied for it
		d.Isolates, d.Exec, d.Capabilities, d.Files = [2]bool{}, nil, nil, nil
	}
	if d.Exec != nil {
		d.Exec = &policy.Exec{ImageOnly: p.Exec.ImageOnly, Action: p.Exec.Action}
	}
	if d.Capabilities != nil {
		d.Capabilities = &policy.Capabilities{Action: p.Capabilities.Action}
	}
	d.Files = slices.Clone(d.Files)
	for i := range d.Files {
		d.Files[i].Allow = nil
	}
	return &d
}

// denyCluster denies everything at the place of p, in the directions that it has rules
// for.
func denyCluster(p *policy.ClusterNetworkPolicy) *policy.ClusterNetworkPolicy {
	d := *p
	for i := range d.Rules {
		if len(p.Rules[i]) > 0 {
			d.Rules[i] = []policy.Rule{{Action: policy.Deny}}
		}
	}
	return &d
}

// instead says what stands in the place of a policy that does not fit, as of a cluster
// made by rest.
func instead(c *policy.Cluster, ref policy.Ref) string {
	var denies [2]bool
	var acts []string
	found := false
	for _, p := range c.ClusterNetworkPolicies {
		if p.Ref() == ref {
			found, denies = true, [2]bool{len(p.Rules[0]) > 0, len(p.Rules[1]) > 0}
		}
	}
	for _, p := range c.NetworkPolicies {
		if p.Ref() == ref {
			found, denies = true, p.Isolates
		}
	}
	for _, p := range c.WorkloadPolicies {
		if p.Ref() == ref {
			found, denies, acts = true, p.Isolates, restricts(p)
		}
	}
	if !found {
		return "the pods it selects are closed"
	}
	var what []string
	for d, denied := range denies {
		if denied {
			what = append(what, policy.Direction(d).String())
		}
	}
	if what = append(what, acts...); len(what) == 0 {
		return "nothing is denied for it"
	}
	return "all " + strings.Join(what, " and ") + " of the pods it selects is denied"
}

// restricts is the acts that a policy denies where nothing of it fits.
func restricts(p *policy.WorkloadPolicy) (acts []string) {
	if p.Exec != nil && p.Exec.Action != policy.Report {
		acts = append(acts, "exec")
	}
	if p.Capabilities != nil && p.Capabilities.Action != policy.Report {
		acts = append(acts, "use of capabilities")
	}
	if slices.ContainsFunc(p.Files, func(r policy.FileRule) bool { return r.Action != policy.Report }) {
		acts = append(acts, "use of the files that it names")
	}
	return acts
}

// Follow brings the objects of c into force as far as they fit: a policy that does
// not is reported, and what it is about is denied.
func (e *Engine) Follow(c *policy.Cluster) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files.retry()
	err := e.follow(c)
	e.next()
	e.tidyLater()
	return err
}

func (e *Engine) follow(c *policy.Cluster) error {
	e.full = c
	err := e.change(c, unfit{})
	if errors.Is(err, api.ErrNoFit) {
		return e.fit(c)
	}
	if err != nil {
		e.view.fail(err)
	}
	return err
}

// fit puts the policies that c adds or changes in force one by one. Until it stands,
// or for as long as it does not fit, what a policy is about is denied.
func (e *Engine) fit(c *policy.Cluster) error {
	waiting := e.changed(c)
	none := unfit{policies: make(map[policy.Ref]error)}
	for _, ref := range waiting {
		none.policies[ref] = api.ErrNoFit
	}
	err := e.change(none.rest(c), none)
	if errors.Is(err, api.ErrNoFit) {
		none.shut = true
		err = e.change(none.rest(c), none)
	}
	if err != nil {
		e.unfit = none
		err = errors.Join(err, e.realise())
		e.view.fail(err)
		return err
	}
	var errs []error
	for _, ref := range waiting {
		next := e.unfit.less(ref)
		if err := e.change(next.rest(c), next); err != nil {
			e.unfit.policies[ref] = err
			errs = append(errs, fmt.Errorf("%s is not in force: %w", ref, err))
		}
	}
	return errors.Join(append(errs, e.realise())...)
}

// less is u with one policy that fits after all.
func (u *unfit) less(ref policy.Ref) unfit {
	out := unfit{policies: maps.Clone(u.policies), shut: u.shut}
	delete(out.policies, ref)
	return out
}

// shut finds the pods that are closed, if any are: those that one of the policies
// selects that do not fit. Pods come, and their labels change.
func (e *Engine) shut() error {
	e.unfit.closes = make(map[policy.PodKey]bool)
	if !e.unfit.shut {
		return nil
	}
	selected, err := e.selection(e.full)
	if err != nil {
		return err
	}
	for key, refs := range selected {
		if slices.ContainsFunc(refs, func(r policy.Ref) bool { return e.unfit.policies[r] != nil }) {
			e.unfit.closes[key] = true
		}
	}
	return nil
}

// selection tells which policies of c select each pod here, whether they fit or not.
func (e *Engine) selection(c *policy.Cluster) (map[policy.PodKey][]policy.Ref, error) {
	cluster, local := e.mergedWith(c)
	img, err := compile.New(new(compile.IDs)).Compile(compile.Input{Cluster: cluster, Local: local})
	if err != nil {
		return nil, fmt.Errorf("compile policies: %w", err)
	}
	return img.Selected, nil
}

// changed lists the policies of c that are not in force as they stand there.
func (e *Engine) changed(c *policy.Cluster) []policy.Ref {
	return slices.Concat(
		others(e.cluster.ClusterNetworkPolicies, c.ClusterNetworkPolicies),
		others(e.cluster.NetworkPolicies, c.NetworkPolicies),
		others(e.cluster.WorkloadPolicies, c.WorkloadPolicies))
}

// others names what is in list and not in known.
func others[P object](known, list []P) []policy.Ref {
	var refs []policy.Ref
	for _, p := range list {
		if !slices.Contains(known, p) {
			refs = append(refs, p.Ref())
		}
	}
	return refs
}

// refuse keeps a pod that does not fit out, closed, and the others as they are.
func (e *Engine) refuse(p *pod, err error) error {
	if !errors.Is(err, datapath.ErrNoFit) {
		return err
	}
	p.refused = err
	return errors.Join(err, e.realise())
}

// admit tries the pods once more that did not fit.
func (e *Engine) admit() error {
	var errs []error
	for _, p := range e.pods {
		if p.refused == nil {
			continue
		}
		p.refused = nil
		if err := e.realise(); err != nil {
			errs = append(errs, e.refuse(p, err))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) anyRefused() bool {
	for _, p := range e.pods {
		if p.refused != nil {
			return true
		}
	}
	return false
}
