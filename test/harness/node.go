// SPDX-License-Identifier: Apache-2.0

// Package harness makes a node of its own inside this machine: a network
// namespace, a bpf filesystem, a cgroup and folders, with pods made through a real
// conflist by libcni. Tests and the demo use it. It needs root, and touches
// nothing of the machine's own network, cgroups and sysctls.
package harness

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/rpc"
)

// Config says what node to make. Only CNIPath must be set.
type Config struct {
	// CNIPath are the folders of sluice-cni and the plugins it is chained to.
	CNIPath []string
	// Agent is the sluice binary, for StartAgent.
	Agent string
	// Dir is where the node's folder is made; the default for temporary files if
	// empty. Keep it short: sockets have names of at most 107 bytes.
	Dir string
	// CNIVersion of the conflist; 1.1.0 if empty.
	CNIVersion string
	// Bare leaves sluice-cni out of the chain.
	Bare bool
	// PTP routes to each pod instead of bridging.
	PTP bool
	// Portmap puts portmap into the chain.
	Portmap bool
	// IPv4 and IPv6 are the ranges of pod addresses: 10.88.0.0/16 and fd00:88::/64 if unset.
	IPv4, IPv6 netip.Prefix
	// Entry holds further fields of sluice-cni's conflist entry, such as failurePolicy.
	Entry map[string]any
}

// Node is one node. The caller must Close it.
type Node struct {
	Root      string // holds all below but CgroupRoot
	Netns     string
	Bpffs     string
	StateDir  string
	Socket    string
	Manifests string
	Conflist  string
	// CgroupRoot is the node's cgroup v2 folder.
	CgroupRoot string

	cfg  Config
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList

	mu     sync.Mutex
	pods   map[*Pod]struct{}
	agent  *Agent
	closed bool
}

// NewNode makes a node. On error nothing is left behind.
func NewNode(cfg Config) (_ *Node, err error) {
	root, err := os.MkdirTemp(cfg.Dir, "sluice-node-")
	if err != nil {
		return nil, fmt.Errorf("make node folder: %w", err)
	}
	n := &Node{
		Root:      root,
		Netns:     filepath.Join(root, "netns", "node"),
		Bpffs:     filepath.Join(root, "bpf", "sluice"),
		StateDir:  filepath.Join(root, "state"),
		Socket:    filepath.Join(root, "run", "agent.sock"),
		Manifests: filepath.Join(root, "manifests"),
		Conflist:  filepath.Join(root, "cni", "10-sluice.conflist"),
		cfg:       cfg,
		pods:      map[*Pod]struct{}{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	for _, step := range []func() error{n.makeFolders, n.makeCgroup, n.makeNetns, n.mountBpffs, n.makeCNI} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("make node: %w", err)
		}
	}
	return n, nil
}

func (n *Node) makeFolders() error {
	for _, d := range []string{"netns", "bpf", "state", "run", "manifests", "cni", "log"} {
		if err := os.Mkdir(filepath.Join(n.Root, d), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) makeCgroup() error {
	mount, err := cgroup2Mount()
	if err != nil {
		return err
	}
	n.CgroupRoot = filepath.Join(mount, filepath.Base(n.Root))
	return os.Mkdir(n.CgroupRoot, 0o755)
}

func (n *Node) makeNetns() error {
	return makeNetns(n.Netns, map[string]string{
		"net/ipv4/ip_forward":              "1",
		"net/ipv6/conf/all/forwarding":     "1",
		"net/ipv6/conf/default/accept_dad": "0",
	})
}

func (n *Node) mountBpffs() error {
	at := filepath.Dir(n.Bpffs)
	if err := unix.Mount("bpf", at, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpffs: %w", err)
	}
	return nil
}

// Do runs f on a thread in the node's network namespace.
func (n *Node) Do(f func() error) error {
	return ns.WithNetNSPath(n.Netns, func(ns.NetNS) error { return f() })
}

// Client speaks to the node's agent.
func (n *Node) Client() *rpc.Client { return rpc.Dial(n.Socket) }

// Command prepares a program that runs in the node's network namespace.
func (n *Node) Command(ctx context.Context, name string, args ...string) *Command {
	return newCommand(ctx, n.Netns, "", name, args)
}

// Close ends every process of the node and its pods and removes all that was
// made. It may be called again.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	var errs []error
	if n.CgroupRoot != "" {
		errs = append(errs, removeCgroup(n.CgroupRoot))
	}
	if n.agent != nil {
		<-n.agent.done // it was in the cgroup
	}
	mounted, err := filepath.Glob(filepath.Join(n.Root, "netns", "*"))
	errs = append(errs, err)
	for _, at := range append(mounted, filepath.Dir(n.Bpffs)) {
		errs = append(errs, unmount(at))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close node %s: %w", n.Root, err) // removing a mounted tree would empty it
	}
	if err := os.RemoveAll(n.Root); err != nil {
		return fmt.Errorf("close node: %w", err)
	}
	n.closed = true
	return nil
}
