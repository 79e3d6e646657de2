// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	cnins "github.com/containernetworking/cni/pkg/ns"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/state"
)

// add attaches the pod and returns when its policy is in force, or what the
// failure policy says.
func add(c *conf, args *skel.CmdArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	prev, err := c.prevResult()
	if err != nil {
		return err
	}
	a, err := describe(c, args, prev)
	if err != nil {
		return err
	}
	undo, err := attach(ctx, c, a)
	if err == nil {
		err = conclude(ctx, c, a, prev)
	}
	if err != nil {
		if undone := undo(); undone != nil {
			c.log.Error("take back a failed ADD", "error", undone.Error())
		}
	}
	return err
}

// conclude has the policy put in force and answers the runtime.
func conclude(ctx context.Context, c *conf, a *rpc.Attachment, prev *types100.Result) error {
	if err := realise(ctx, c, a); err != nil {
		if c.FailurePolicy == policyFail && !a.Open {
			return tryAgain(fmt.Errorf("put policy in force: %w", err))
		}
		c.log.Warn("policy is not in force yet", "open", a.Open, "error", err.Error())
	}
	return c.printResult(prev, os.Stdout)
}

// describe gathers what there is to know of the pod's interface.
func describe(c *conf, args *skel.CmdArgs, prev *types100.Result) (*rpc.Attachment, error) {
	pod, err := parseArgs(args.Args)
	if err != nil {
		return nil, err
	}
	// skel asks this too, but after all is attached.
	override := strings.EqualFold(args.NetnsOverride, "true") || args.NetnsOverride == "1"
	if same, err := cnins.CheckNetNS(args.Netns); err != nil {
		return nil, err
	} else if same && !override {
		return nil, types.NewError(types.ErrInvalidNetNS, "the pod's network namespace is the node's", "")
	}
	e, err := findEnds(args.Netns, args.IfName)
	if err != nil {
		return nil, err
	}
	return &rpc.Attachment{
		Network: c.Name, ContainerID: args.ContainerID, IfName: args.IfName,
		Namespace: pod.namespace, Name: pod.name, UID: pod.uid,
		IPs: addresses(prev, args.IfName), Netns: args.Netns, Cookie: e.cookie, NetnsID: e.nsid, MAC: e.mac,
		HostIf: e.host.Attrs().Name, HostIfIndex: e.host.Attrs().Index,
		Open: c.opens(pod.namespace), Created: time.Now(),
	}, nil
}

// attach puts up the pod's gate and records it. What can fail is done before
// anything of an earlier ADD is taken down: the pod may be running. undo takes back
// what this ADD did, also after an error, and opens nothing.
func attach(ctx context.Context, c *conf, a *rpc.Attachment) (undo func() error, err error) {
	undo = func() error { return nil }
	l, err := openLedger(ctx, c)
	if err != nil {
		return undo, tryAgain(err)
	}
	defer l.close()
	if l.kernel == nil && !a.Open {
		return undo, tryAgain(state.ErrNotInstalled)
	}
	g, err := placeCgroup(c, a.UID)
	if err != nil {
		return undo, err
	}
	a.Cgroup, a.CgroupID = g.Path, g.ID
	old, stands := l.standing(a.Key())
	if err := l.watchLate(c, a); err != nil {
		return undo, tryAgain(err)
	}
	if l.same(old, a) {
		a.Slot, a.PodID = old.Slot, old.PodID
		if err := l.mend(a); err != nil {
			return undo, tryAgain(err)
		}
		return undo, nil
	}
	undo = func() error {
		if stands {
			silence(a)
		}
		err := detach(c, a.Key())
		notify(c, a)
		return err
	}
	if stands {
		err = l.replace(old, a)
	} else {
		err = l.enter(a)
	}
	if err != nil {
		return undo, tryAgain(errors.Join(err, l.releaseCgroup(a)))
	}
	return undo, nil
}

// realise asks the agent to put the pod's policy in force. Without pins there is
// no agent to ask.
func realise(ctx context.Context, c *conf, a *rpc.Attachment) error {
	if a.PodID == 0 {
		return state.ErrNotInstalled
	}
	reply, err := rpc.Dial(c.Socket).Attach(ctx, *a)
	if err != nil {
		return err
	}
	if reply.State == "closed" {
		return errors.New("the agent could not put the pod's policy in force")
	}
	return nil
}
