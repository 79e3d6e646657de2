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
	if err := attach(ctx, c, a); err != nil {
		return err
	}
	if err := realise(ctx, c, a); err != nil {
		if c.FailurePolicy == policyFail && !a.Open {
			return tryAgain(errors.Join(fmt.Errorf("put policy in force: %w", err), detach(c, a.Key())))
		}
		c.log.Warn("policy is not in force yet", "open", a.Open, "error", err.Error())
	}
	if err := c.printResult(prev, os.Stdout); err != nil {
		return errors.Join(err, detach(c, a.Key()))
	}
	return nil
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
		IPs: addresses(prev, args.IfName), Netns: args.Netns, Cookie: e.cookie,
		HostIf: e.host.Attrs().Name, HostIfIndex: e.host.Attrs().Index,
		Open: c.opens(pod.namespace), Created: time.Now(),
	}, nil
}

// attach puts up the pod's gate and records it. On error nothing is left behind,
// also of an earlier ADD that this one repeats.
func attach(ctx context.Context, c *conf, a *rpc.Attachment) (err error) {
	l, err := openLedger(ctx, c)
	if err != nil {
		return tryAgain(err)
	}
	defer l.close()
	if err := l.forget(a.Key()); err != nil {
		return tryAgain(err)
	}
	if l.kernel == nil && !a.Open {
		return tryAgain(state.ErrNotInstalled)
	}
	g, err := placeCgroup(c, a.UID)
	if err != nil {
		return err
	}
	a.Cgroup, a.CgroupID = g.Path, g.ID
	if err := l.watchLate(c, a); err != nil {
		return tryAgain(err)
	}
	if err := l.enter(a); err != nil {
		return tryAgain(errors.Join(err, l.releaseCgroup(a)))
	}
	return nil
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
