// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/sluice-io/sluice/agent/datapath"
)

// sums takes the SHA-256 of the files that rules ask it of: one after the other and
// beside everything else, since a large one takes a second. Until it is known, no rule
// with a sum matches the file.
type sums struct {
	dp   *datapath.Datapath
	wake chan struct{}

	mu    sync.Mutex
	known map[content]summed
	asked []sumJob
}

// content is what a file held at some time.
type content struct {
	dev          uint32
	ino, changed uint64
}

// summed is a sum, or why there is none.
type summed struct {
	sum string // 32 bytes
	why string
}

// sumJob is a file whose sum is asked for.
type sumJob struct {
	container datapath.Container
	cgroup    string
	path      string
	at        datapath.Resolution
}

func newSums(dp *datapath.Datapath) *sums {
	return &sums{dp: dp, wake: make(chan struct{}, 1), known: make(map[content]summed)}
}

func contentOf(r datapath.Resolution) content { return content{r.File.Dev, r.File.Ino, r.Changed} }

// maxSums bounds what is known of files that may be gone.
const maxSums = 4096

// of gives what is known of a file; what is not known it asks for, and says false.
func (s *sums) of(j sumJob) (summed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.known[contentOf(j.at)]
	if !ok {
		s.asked = append(s.asked, j)
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return have, ok
}

// why says why there is no sum of a file, "" if that is not known.
func (s *sums) why(r datapath.Resolution) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[contentOf(r)].why
}

// forget makes of ask anew: what was asked for is asked for by the round that begins.
func (s *sums) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = nil
	if len(s.known) > maxSums {
		clear(s.known)
	}
}

func (s *sums) next() (sumJob, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.asked) > 0 {
		j := s.asked[0]
		s.asked = s.asked[1:]
		if _, ok := s.known[contentOf(j.at)]; !ok {
			return j, true
		}
	}
	return sumJob{}, false
}

// run takes sums until ctx ends, and calls told after each.
func (s *sums) run(ctx context.Context, told func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		for j, ok := s.next(); ok && ctx.Err() == nil; j, ok = s.next() {
			if s.take(j) {
				told()
			}
		}
	}
}

// take takes one sum; false: a later round may ask for it again.
func (s *sums) take(j sumJob) bool {
	var out summed
	sum, err := s.read(j)
	switch {
	case errors.Is(err, datapath.ErrGone):
		return false
	case err != nil:
		out.why = err.Error()
	default:
		out.sum = string(sum[:])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[contentOf(j.at)] = out
	return true
}

func (s *sums) read(j sumJob) ([32]byte, error) {
	r, err := s.dp.OpenContainer(j.container, j.cgroup)
	if err != nil {
		return [32]byte{}, err
	}
	defer r.Close()
	return r.Sum(j.path, j.at)
}
