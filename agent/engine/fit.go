// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-io/sluice/agent/api"
	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// unfit is what the kernel's maps have no room for: policies of manifests that are
// not in force, and the pods that they select, which are closed meanwhile.
type unfit struct {
	policies map[policy.Ref]error
	closes   map[policy.PodKey]bool
}

// without leaves the policies that do not fit out of c.
func (u *unfit) without(c *policy.Cluster) *policy.Cluster {
	if len(u.policies) == 0 {
		return c
	}
	out := *c
	out.ClusterNetworkPolicies = fitting(u, c.ClusterNetworkPolicies)
	out.NetworkPolicies = fitting(u, c.NetworkPolicies)
	out.WorkloadPolicies = fitting(u, c.WorkloadPolicies)
	return &out
}

// object is a policy of any kind.
type object interface {
	comparable
	Ref() policy.Ref
}

func fitting[P object](u *unfit, list []P) []P {
	return slices.DeleteFunc(slices.Clone(list), func(p P) bool { return u.policies[p.Ref()] != nil })
}

// Follow brings the objects of c into force as far as they fit: a policy that does
// not is reported, and the pods that it selects are closed.
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
	was := e.unfit
	e.full, e.unfit = c, unfit{}
	err := e.change(c)
	if !errors.Is(err, api.ErrNoFit) {
		if err != nil {
			e.unfit = was
			e.view.fail(err)
		}
		return err
	}
	return e.fit(c)
}

// fit puts the policies that c adds or changes in force one by one. Until its
// policies stand, or for as long as one of them does not fit, a pod is closed.
func (e *Engine) fit(c *policy.Cluster) error {
	selected, err := e.selection(c)
	if err != nil {
		return err
	}
	e.unfit.policies = make(map[policy.Ref]error)
	waiting := e.changed(c)
	for _, ref := range waiting {
		e.unfit.policies[ref] = api.ErrNoFit
	}
	e.unfit.close(selected)
	if err := e.change(e.unfit.without(c)); err != nil {
		e.view.fail(err)
		return err
	}
	var errs []error
	for _, ref := range waiting {
		delete(e.unfit.policies, ref)
		e.unfit.close(selected)
		if err := e.change(e.unfit.without(c)); err != nil {
			e.unfit.policies[ref] = err
			e.unfit.close(selected)
			errs = append(errs, fmt.Errorf("%s is not in force: %w", ref, err))
		}
	}
	return errors.Join(append(errs, e.realise())...)
}

// close says which pods are closed: those that one of the policies selects.
func (u *unfit) close(selected map[policy.PodKey][]policy.Ref) {
	u.closes = make(map[policy.PodKey]bool)
	for key, refs := range selected {
		if slices.ContainsFunc(refs, func(r policy.Ref) bool { return u.policies[r] != nil }) {
			u.closes[key] = true
		}
	}
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
