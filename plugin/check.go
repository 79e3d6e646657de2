// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/gate"
	"github.com/sluice-io/sluice/bpf/state"
)

// check compares the pod with its record, and its record with the kernel.
func check(c *conf, args *skel.CmdArgs) error {
	prev, err := c.prevResult()
	if err != nil {
		return err
	}
	now, err := describe(c, args, prev)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	l, err := openLedger(ctx, c)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.check(now); err != nil {
		return types.NewError(errMismatch, "pod is not attached as it should be: "+err.Error(), "")
	}
	return nil
}

func (l *ledger) check(now *rpc.Attachment) error {
	a, err := l.records.Get(now.Key())
	if err != nil {
		return err
	}
	if l.kernel == nil {
		return state.ErrNotInstalled
	}
	var errs []error
	if a.HostIfIndex != now.HostIfIndex {
		errs = append(errs, fmt.Errorf("host-side interface is %d, recorded is %d", now.HostIfIndex, a.HostIfIndex))
	}
	if a.Cookie != now.Cookie {
		errs = append(errs, errors.New("network namespace is another"))
	}
	if a.Cgroup != "" {
		if g, err := openCgroup(a.Cgroup); err != nil {
			errs = append(errs, err)
		} else if g.ID != a.CgroupID {
			errs = append(errs, fmt.Errorf("cgroup %s is another", a.Cgroup))
		}
	}
	return errors.Join(append(errs, gate.Check(l.kernel, a.Key(), identity(a), cgroupOf(a)))...)
}

// status says whether an ADD would succeed now.
func status(c *conf, _ *skel.CmdArgs) error {
	if c.FailurePolicy == policyOpen {
		return nil
	}
	s, err := state.Open(state.Dir(c.Bpffs))
	if err != nil {
		return types.NewError(types.ErrPluginNotAvailable, err.Error(), "")
	}
	s.Close()
	if c.FailurePolicy != policyFail {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	if err := rpc.Dial(c.Socket).Ready(ctx); err != nil {
		return types.NewError(types.ErrPluginNotAvailable, err.Error(), "")
	}
	return nil
}
