// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"maps"

	"github.com/sluice-io/sluice/policy"
)

// Compiler makes Images one after the other, each fit to replace the one before
// while flows are judged. It is not safe for concurrent use.
type Compiler struct {
	ids    *IDs
	last   generation
	before generation // for Skip
}

// generation is what one Image's Pods are judged by.
type generation struct {
	entries  map[sum]*entry
	ruleSets []*ruleSet // in the order of Input.Local, each once
}

// New makes a Compiler that takes its ids from a table, which it keeps up to
// date: new(IDs), or the stored one of a former process. Who stores it must do so
// between Compile and applying the Image: a later process would give ids that the
// kernel holds already to other contents.
func New(ids *IDs) *Compiler { return &Compiler{ids: ids} }

// Compile makes the next Image. Objects of the Cluster must not change afterwards;
// the next snapshot has others.
//
// The Image also holds the rule sets that the Pods of the Image before pointed to,
// by their old ids, and its classes tell apart what the peer entries of either
// tell apart. So verdicts are right all along if the tables are changed in this
// order: add what is new; change Peers and Prefixes, removals included, in any
// order; change programs; change Pods; remove the rest. What retires is gone from
// the next Image: the second Compile of one input may differ from the first, the
// third and further ones are equal to the second. Where an Image is skipped, or is
// the first of a new process, pods whose rules changed may see false denials
// while they are switched, and nothing worse: AnyPeer is the least that is granted.
//
// It fails on input that no reader of manifests lets pass (see validate) and when
// ids are used up; what retires next is then as before.
func (c *Compiler) Compile(in Input) (*Image, error) {
	if err := validate(in); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	l := lowerer{last: c.last.entries, entries: make(map[sum]*entry)}
	policies := l.cluster(in.Cluster)
	pods := assign(in, policies)
	next := generation{entries: l.entries, ruleSets: pods.distinct(in.Local)}

	c.ids.begin()
	image := c.build(in, next, pods)
	if err := c.ids.end(); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	c.before, c.last = c.last, next
	return image, nil
}

// Skip says that the Image made last was not put in force: what retires next is
// what the one before it holds. Twice in a row it does nothing.
func (c *Compiler) Skip() { c.last = c.before }

// build makes the Image of a generation and of the one before, which retires.
func (c *Compiler) build(in Input, next generation, pods assignment) *Image {
	entries := maps.Clone(next.entries)
	maps.Copy(entries, c.last.entries)
	classes := newClasses(entries, c.ids)
	blocks := newTrie(classes.entries)
	image := &Image{
		Pods:      make(map[policy.PodKey]uint32, len(in.Local)),
		RuleSets:  make(map[uint32]RuleSet),
		Edges:     make(map[Edge]uint32),
		Ports:     make(map[PortKey]Grant),
		Processes: make(map[ProcessKey]uint32),
		Prefixes:  classes.prefixes(blocks),
		Peers:     classes.peers(in.Cluster, blocks),
		Rules:     make(map[uint32]policy.RuleRef),
		Paths:     make(map[string]uint32),
		Selected:  pods.selected,
	}
	b := builder{
		ids: c.ids, image: image, holding: classes.holding,
		ports: make(map[uint32]bool), processes: make(map[uint32][]pathGrant),
	}
	for _, s := range c.last.ruleSets {
		b.ruleSet(s)
	}
	for _, key := range in.Local {
		image.Pods[key] = b.ruleSet(pods.ruleSets[key])
	}
	b.programs(in.Programs)
	return image
}
