// SPDX-License-Identifier: Apache-2.0

// Package door is the pod door: TCX programs on the host side of a pod's veth
// that judge every frame of the pod and hold its connections.
package door

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-io/sluice/bpf/state"
)

// Config sets the flow table's bounds. Zero fields keep the defaults.
type Config struct {
	// Flows that one pod may hold: unanswered, answered and denied.
	HalfOpen, Open, Denied uint32
	// Times without a frame after which a flow is forgotten.
	TCPHalf, TCPOpen, TCPClosing, UDPHalf, UDPOpen, Other, DeniedFor time.Duration
}

// Defaults are the documented bounds.
func Defaults() Config {
	return Config{
		HalfOpen: 4096, Open: 32768, Denied: 4096,
		TCPHalf: time.Minute, TCPOpen: 6 * time.Hour, TCPClosing: 10 * time.Second,
		UDPHalf: 30 * time.Second, UDPOpen: 2 * time.Minute, Other: time.Minute, DeniedFor: 30 * time.Second,
	}
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// Set writes c to the configuration of an object that includes flow.h.
func (c Config) Set(spec *ebpf.CollectionSpec) error {
	d := Defaults()
	quota := [3]uint32{or(c.HalfOpen, d.HalfOpen), or(c.Open, d.Open), or(c.Denied, d.Denied)}
	ttls := [7]uint64{}
	for i, t := range []time.Duration{
		or(c.TCPHalf, d.TCPHalf), or(c.TCPOpen, d.TCPOpen), or(c.TCPClosing, d.TCPClosing),
		or(c.UDPHalf, d.UDPHalf), or(c.UDPOpen, d.UDPOpen), or(c.Other, d.Other), or(c.DeniedFor, d.DeniedFor),
	} {
		ttls[i] = uint64(t)
	}
	if err := errors.Join(spec.Variables["quota"].Set(quota), spec.Variables["ttls"].Set(ttls),
		spec.Variables["least_ttl"].Set(slices.Min(ttls[:]))); err != nil {
		return fmt.Errorf("configure flow table: %w", err)
	}
	return nil
}

// The programs by direction, as the pod sees it.
const (
	progOut = doorProgDoorOut
	progIn  = doorProgDoorIn
)

var hooks = map[string]ebpf.AttachType{progOut: ebpf.AttachTCXIngress, progIn: ebpf.AttachTCXEgress}

// Load loads the programs. The caller must close the collection.
func Load(s *state.State, c Config) (*ebpf.Collection, error) {
	spec, err := loadDoor()
	if err != nil {
		return nil, fmt.Errorf("read embedded door: %w", err)
	}
	if err := c.Set(spec); err != nil {
		return nil, err
	}
	coll, err := s.Load(spec)
	if err != nil {
		return nil, fmt.Errorf("door: %w", err)
	}
	return coll, nil
}

// Start sets the timer going that ends flows, or hands it to the programs of coll.
// It goes on for as long as the maps are pinned or open.
func Start(coll *ebpf.Collection) error {
	ret, err := coll.Programs[doorProgDoorStart].Run(&ebpf.RunOptions{Data: make([]byte, 14)})
	if err != nil {
		return fmt.Errorf("start the reaper of flows: %w", err)
	}
	if ret != 0 {
		return fmt.Errorf("start the reaper of flows: %w", syscall.Errno(-int32(ret)))
	}
	return nil
}

// Depart has the flows judged anew whose peer's address is in the map departed, by
// the pinned program.
func Depart(dir state.Dir) error {
	p, err := ebpf.LoadPinnedProgram(dir.Prog(doorProgDoorDepart), nil)
	if err != nil {
		return fmt.Errorf("open pinned program %s: %w", doorProgDoorDepart, err)
	}
	defer p.Close()
	if _, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 14)}); err != nil {
		return fmt.Errorf("look for flows to addresses that changed hands: %w", err)
	}
	return nil
}

// Install loads the programs, pins them for the plugin and gives them to every
// door that stands already.
func Install(s *state.State, c Config) error {
	coll, err := Load(s, c)
	if err != nil {
		return err
	}
	defer coll.Close()
	if err := Start(coll); err != nil {
		return err
	}
	if err := s.Dir.PinProgram(doorProgDoorDepart, coll.Programs[doorProgDoorDepart]); err != nil {
		return err
	}
	for name := range hooks {
		if err := s.Dir.PinProgram(name, coll.Programs[name]); err != nil {
			return err
		}
		standing, err := filepath.Glob(filepath.Join(s.Dir.Pod("*"), name))
		if err != nil {
			return fmt.Errorf("list doors: %w", err)
		}
		for _, path := range standing {
			if err := state.UpdateLink(path, coll.Programs[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Attach hangs the pinned programs at the interface of a pod, under its key, ahead
// of what is attached there: nothing may let a frame by before it is judged. What
// hangs there already is left as it is. An interface that is not in the caller's
// network namespace is an error.
func Attach(dir state.Dir, key string, ifindex int) error {
	for name, hook := range hooks {
		at := filepath.Join(dir.Pod(key), name)
		if check(at, ifindex) == nil {
			continue
		}
		if err := attach(dir, name, hook, at, ifindex); err != nil {
			return err
		}
	}
	return nil
}

func attach(dir state.Dir, name string, hook ebpf.AttachType, at string, ifindex int) error {
	p, err := ebpf.LoadPinnedProgram(dir.Prog(name), nil)
	if err != nil {
		return fmt.Errorf("open pinned program %s: %w", name, err)
	}
	defer p.Close()
	l, err := attachTCX(link.TCXOptions{Interface: ifindex, Program: p, Attach: hook, Anchor: link.Head()})
	if err != nil {
		return fmt.Errorf("attach %s to interface %d: %w", name, ifindex, err)
	}
	return state.PinLink(l, at)
}

// lingering bounds the wait for a link whose pin was removed just before: the
// kernel lets go of it a moment later, and has no place for a program twice.
const lingering = 2 * time.Second

func attachTCX(opts link.TCXOptions) (link.Link, error) {
	for deadline := time.Now().Add(lingering); ; time.Sleep(time.Millisecond) {
		l, err := link.AttachTCX(opts)
		if !errors.Is(err, syscall.EEXIST) || time.Now().After(deadline) {
			return l, err
		}
	}
}

// Check says what is wrong with the door of a pod, nil if nothing.
func Check(dir state.Dir, key string, ifindex int) error {
	var errs []error
	for name := range hooks {
		errs = append(errs, check(filepath.Join(dir.Pod(key), name), ifindex))
	}
	return errors.Join(errs...)
}

func check(path string, ifindex int) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return fmt.Errorf("open pinned link %s: %w", path, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return fmt.Errorf("read link %s: %w", path, err)
	}
	if tcx := info.TCX(); tcx == nil || tcx.Ifindex != uint32(ifindex) {
		return fmt.Errorf("link %s is not attached to interface %d", path, ifindex)
	}
	return nil
}
