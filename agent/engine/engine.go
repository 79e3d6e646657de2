// SPDX-License-Identifier: Apache-2.0

// Package engine joins objects, pods and kernel: it keeps what the kernel does
// equal to what the objects ask, for every pod attached here, and gives names to
// what the kernel reports.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-io/sluice/agent/api"
	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/journal"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/compile"
)

// Config is what an Engine needs to know of its node.
type Config struct {
	Version    string
	Node       string
	StateDir   string
	CgroupRoot string // cgroup2 folder under which pods live
	NoSyscalls bool   // never attach to every system call
	// Hide takes out of arguments what is not to be told; nil: all is told.
	Hide func(args []string) []string
}

// Engine is the agent's core. Its methods may be called from any goroutine.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	dp      *datapath.Datapath
	records *rpc.Attachments
	journal *journal.Journal
	names   *names

	mu       sync.Mutex // held while the kernel is being changed
	compiler *compile.Compiler
	ids      *compile.IDs
	stored   []byte          // ids as stored last, nil: not yet
	spare    []byte          // for the next
	cluster  *policy.Cluster // in force
	full     *policy.Cluster // asked for: cluster, and what did not fit as it is
	unfit    unfit
	pods     map[string]*pod // by attachment key
	files    *files
	held     map[netip.Addr]holder // as of the last change that is in force, or stored by a former agent
	heldOf   *merging
	formers  []former        // likewise
	over     atomic.Uint64   // formers that were not kept
	judged   *policy.Cluster // likewise, with the addresses of pods here; nil at first
	// nodeAddrs are this node's own addresses, looked up anew by deferralChanged.
	nodeAddrs []netip.Addr
	merging   *merging // the last one

	view  view // what readers see, replaced as a whole
	again chan struct{}
	// retired is told of a change that has left something behind.
	retired chan struct{}

	subscriptions subscriptions

	totals eventTotals
	wall   wallClock
}

// New joins the parts. Call Adopt, then Apply, then Run.
func New(cfg Config, dp *datapath.Datapath, j *journal.Journal, log *slog.Logger) (*Engine, error) {
	records, err := rpc.OpenAttachments(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	ids := new(compile.IDs)
	known := newFiles(cfg.CgroupRoot, cfg.StateDir, newSums(dp))
	var held map[netip.Addr]holder
	var formers []former
	for path, into := range map[string]any{
		filepath.Join(cfg.StateDir, idsFile): ids, filepath.Join(cfg.StateDir, holdersFile): &held,
		filepath.Join(cfg.StateDir, formersFile): &formers, known.store: &known.containers,
	} {
		if err := load(path, into, dp.State().Dir, log); err != nil {
			return nil, err
		}
	}
	return &Engine{
		cfg: cfg, log: log, dp: dp, records: records, journal: j,
		names:    newNames(dp, cfg.CgroupRoot, cfg.Hide),
		compiler: compile.New(ids),
		ids:      ids,
		cluster:  &policy.Cluster{},
		full:     &policy.Cluster{},
		pods:     make(map[string]*pod),
		files:    known,
		held:     held,
		formers:  formers,
		again:    make(chan struct{}, 1),
		retired:  make(chan struct{}, 1),
		view:     view{revision: lastRevision(cfg.StateDir, log)},
		totals:   eventTotals{byKind: make(map[[2]string]uint64)},

		subscriptions: subscriptions{open: make(map[*subscription]struct{}), told: make(map[uint32]datapath.Tells)},
	}, nil
}

// idsFile holds compile.IDs between runs, so that what has not changed keeps its
// ids and no connection is judged anew.
const idsFile = "ids.json"

// clockEvery is how often the clocks are compared; the kernel tells nobody that
// its offset to TAI has changed.
const clockEvery = 10 * time.Second

// Run repeats what has to be repeated until ctx ends: programs of new containers
// are looked up and summed, what a change has retired is cleared, the clocks are compared.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.files.sums.run(ctx, e.later) })
	g.Go(func() error { return e.repeat(ctx) })
	return g.Wait()
}

func (e *Engine) repeat(ctx context.Context) error {
	clock, tidy := time.NewTicker(clockEvery), time.NewTimer(0)
	defer clock.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
			changed, err := e.dp.Clock()
			if err != nil {
				e.log.Error("clocks are not compared", "error", err)
			}
			if changed {
				e.log.Info("the clock's offset to TAI changed")
			}
			if e.deferralChanged() {
				e.later()
			}
		case <-e.retired:
			tidy.Reset(tidyAfter)
		case <-tidy.C:
			e.later()
		case <-e.again:
			e.mu.Lock()
			err := e.round()
			e.mu.Unlock()
			if err != nil {
				e.log.Error("not all is in force", "error", err)
			}
		}
	}
}

// round repeats realise, and tries once more what did not fit. e.mu is held.
func (e *Engine) round() error {
	if len(e.unfit.policies) == 0 && !e.anyRefused() {
		return e.realise()
	}
	return errors.Join(e.admit(), e.follow(e.full))
}

// tidyAfter is how long what a change has retired stays, so that the next change need
// not wait for its removal.
const tidyAfter = 200 * time.Millisecond

// tidyLater asks Run for a round that clears what has retired, when no change has come
// for a while.
func (e *Engine) tidyLater() {
	select {
	case e.retired <- struct{}{}:
	default:
	}
}

// later asks Run for another round, at once.
func (e *Engine) later() {
	select {
	case e.again <- struct{}{}:
	default:
	}
}

// Apply brings the objects of c into force on every pod here. If they do not fit
// the kernel keeps what it had, and the error wraps api.ErrNoFit.
func (e *Engine) Apply(_ context.Context, c *policy.Cluster) (rpc.PutReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files.retry()
	if err := e.change(e.unfit.rest(c), e.unfit); err != nil {
		return rpc.PutReply{}, err
	}
	e.full = c
	e.tidyLater()
	reply := rpc.PutReply{Revision: e.next(), State: "enforced", Pods: len(e.pods)}
	if len(e.degraded()) > 0 || len(e.unfit.policies) > 0 {
		reply.State = "degraded"
	}
	return reply, nil
}

// change puts the objects of c, which lack what does not fit, in force, or keeps those
// that were. e.mu is held.
func (e *Engine) change(c *policy.Cluster, lacks unfit) error {
	before, lacked := e.cluster, e.unfit
	e.cluster, e.unfit = c, lacks
	err := e.realise()
	if err == nil {
		return nil
	}
	e.cluster, e.unfit = before, lacked
	if undo := e.realise(); undo != nil {
		err = errors.Join(err, fmt.Errorf("go back to the objects before: %w", undo))
	}
	if errors.Is(err, datapath.ErrNoFit) {
		return fmt.Errorf("%w: %w", api.ErrNoFit, err)
	}
	return err
}

// realise makes the kernel equal to e.cluster and e.pods. e.mu is held. After an
// error pods have the rules they had.
func (e *Engine) realise() (err error) {
	defer func() { e.view.fail(err) }()
	if err := e.forgetGone(); err != nil {
		return err
	}
	if err := e.shut(); err != nil {
		return err
	}
	cluster, local := e.merged()
	programs, places, err := e.files.resolve(e.dp, namedBy(cluster), e.podOf)
	if err != nil {
		return err
	}
	held := e.held
	if e.heldOf != e.merging { // other pods, or at other addresses
		held = e.holders(cluster)
	}
	formers, over := e.formersOf(cluster, held)
	were, spans := numbered(formers)
	img, err := e.compiler.Compile(compile.Input{
		Cluster: cluster, Local: local, Programs: programs, Places: places, Formers: were, Gives: e.dp.Gives(),
	})
	if err != nil {
		return fmt.Errorf("compile policies: %w", err)
	}
	if err := e.enforce(img, spans); err != nil {
		e.compiler.Skip()
		return err
	}
	if err := e.depart(held); err != nil {
		return err
	}
	if err := e.keep(formers, over, cluster); err != nil {
		return err
	}
	for _, p := range e.pods {
		p.closed = e.unfit.closes[p.key()] || len(img.Closed[p.key()]) > 0
		p.realised = p.refused == nil && !p.closed
	}
	e.publish(cluster, img)
	e.subscribe(func(map[*subscription]struct{}) {})
	return nil
}

// enforce brings an image to the kernel.
func (e *Engine) enforce(img *compile.Image, formers map[compile.FormerKey]datapath.Span) error {
	if err := e.saveIDs(); err != nil {
		return err
	}
	// Watching begins before the first pod is switched and ends after the last.
	watch := wantsPrivileges(img) && !e.cfg.NoSyscalls
	if watch {
		if err := e.dp.WatchPrivileges(true); err != nil {
			return err
		}
	}
	if len(img.Processes) > 0 {
		if err := e.dp.WatchSockets(true); err != nil {
			return err
		}
	}
	acts := wantsActs(img)
	if err := e.dp.WatchActs(acts); err != nil {
		return err
	}
	want := datapath.Desired{Image: img, Rules: e.assignments(img), Formers: formers}
	e.files.identify(img, &want)
	if err := e.reach(img, &want); err != nil {
		return err
	}
	if err := e.dp.Apply(want); err != nil {
		return err
	}
	if len(img.Processes) == 0 {
		if err := e.dp.WatchSockets(false); err != nil {
			return err
		}
	}
	if err := e.dp.UnwatchActs(acts); err != nil {
		return err
	}
	if !watch {
		return e.dp.WatchPrivileges(false)
	}
	return nil
}

func wantsPrivileges(img *compile.Image) bool {
	for _, id := range img.Pods {
		if img.RuleSets[id].Privileges != compile.ActionIgnore {
			return true
		}
	}
	return false
}

// wantsActs is the acts that some pod is restricted in.
func wantsActs(img *compile.Image) (acts datapath.Acts) {
	lists := make(map[uint32]bool) // of rules on files
	for _, id := range img.Pods {
		rs := img.RuleSets[id]
		for i := range rs.Exec {
			acts.Execs = acts.Execs || rs.Exec[i].Action != compile.ActionIgnore
			acts.Uses = acts.Uses || rs.Capabilities[i].Action != compile.ActionIgnore
			lists[rs.Files[i]] = true
		}
	}
	for k := range img.FileRules {
		if lists[k.List] {
			acts.Files |= 1 << k.Operation
		}
	}
	return acts
}

// saveIDs stores the ids before the kernel learns them: an id must not be given to
// another content after a crash.
func (e *Engine) saveIDs() error {
	b := e.ids.AppendJSON(e.spare[:0])
	if bytes.Equal(b, e.stored) {
		e.spare = b
		return nil
	}
	if err := replace(filepath.Join(e.cfg.StateDir, idsFile), b); err != nil {
		return err
	}
	e.stored, e.spare = b, e.stored
	return nil
}
