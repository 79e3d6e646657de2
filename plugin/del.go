// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/vishvananda/netlink"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/bpf/gate"
	"github.com/sluice-io/sluice/bpf/state"
)

// notifyTimeout bounds how long an agent may keep a pod that is gone already.
const notifyTimeout = time.Second

// lockTimeout bounds how long DEL and GC wait for other runs: the runtime repeats
// them.
const lockTimeout = 10 * time.Second

// del frees the pod. Everything may be gone: its namespace, its record, the pins.
func del(c *conf, args *skel.CmdArgs) error {
	key := rpc.AttachmentKey(args.ContainerID, args.IfName)
	if a, err := rpc.ReadAttachment(c.StateDir, key); err == nil {
		silence(a)
	}
	if err := detach(c, key); err != nil {
		return err
	}
	notify(c, &rpc.Attachment{ContainerID: args.ContainerID, IfName: args.IfName})
	return nil
}

// detach takes down a pod's gate and forgets the pod.
func detach(c *conf, key string) error {
	if _, err := os.Stat(c.StateDir); errors.Is(err, fs.ErrNotExist) {
		return gate.Detach(state.Dir(c.Bpffs), key) // uninstalled
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	l, err := openLedger(ctx, c)
	if err != nil {
		return err
	}
	defer l.close()
	return l.forget(key)
}

// silence takes the pod's interface down for good: its door goes before the veth
// does, and whatever still runs in the pod must not find it open.
func silence(a *rpc.Attachment) {
	host, err := netlink.LinkByIndex(a.HostIfIndex)
	if err == nil && host.Attrs().Name == a.HostIf {
		_ = netlink.LinkSetDown(host) // gone meanwhile: as good
	}
}

// gc frees every attachment that is not valid.
func gc(c *conf, _ *skel.CmdArgs) error {
	valid, err := c.validAttachments()
	if err != nil {
		return err
	}
	keep := make(map[string]bool, len(valid))
	for _, v := range valid {
		keep[rpc.AttachmentKey(v.ContainerID, v.IfName)] = true
	}
	gone, err := sweep(c, keep)
	notify(c, gone...)
	return err
}

func sweep(c *conf, keep map[string]bool) ([]*rpc.Attachment, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	l, err := openLedger(ctx, c)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return l.sweep(c.Name, keep)
}

// notify tells the agent what is gone. It would find out by itself, so nothing
// depends on it.
func notify(c *conf, gone ...*rpc.Attachment) {
	ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
	defer cancel()
	agent := rpc.Dial(c.Socket)
	for _, a := range gone {
		if err := agent.Detach(ctx, a.ContainerID, a.IfName); errors.Is(err, rpc.ErrUnreachable) || ctx.Err() != nil {
			return
		}
	}
}
