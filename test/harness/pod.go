// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// CgroupMode says how the plugin comes to know a pod's cgroup.
type CgroupMode int

// The ways.
const (
	CgroupGiven CgroupMode = iota // made before ADD, named in runtimeConfig
	CgroupFound                   // made before ADD, found by the pod's UID
	CgroupLate                    // made after ADD, as CRI without a kubelet does
)

// PodSpec says what pod to make.
type PodSpec struct {
	Namespace, Name string // default/pod-… if empty
	UID             string // random if empty
	// Labels, if not nil, are written to a manifest; ADD waits until a running
	// agent has read it.
	Labels map[string]string
	// PodSpec is the manifest's spec.
	PodSpec map[string]any
	Cgroup  CgroupMode
	// CgroupPath is given to the plugin as it is, in the place of a folder's name.
	CgroupPath string
	// Ports are hostPorts, with Config.Portmap.
	Ports []PortMapping
	// IP is asked for, if set; addresses of the other family come as they come.
	IP netip.Addr
}

// PortMapping is a runtimeConfig entry for portmap.
type PortMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// Pod is a network namespace and a cgroup, and a sandbox to the CNI plugins.
type Pod struct {
	Spec        PodSpec
	ContainerID string
	IfName      string
	Netns       string
	Cgroup      string // its containers' cgroups lie below it
	IPs         []netip.Addr
	Result      *types100.Result // of ADD

	node *Node
	rt   *libcni.RuntimeConf
	list *libcni.NetworkConfigList
}

// NewPod makes a pod without calling CNI.
func (n *Node) NewPod(spec PodSpec) (*Pod, error) {
	id := randomHex(16)
	if spec.UID == "" {
		spec.UID = fmt.Sprintf("%s-%s-%s-%s-%s", id[:8], id[8:12], id[12:16], id[16:20], id[20:])
	}
	if spec.Namespace == "" {
		spec.Namespace = "default"
	}
	if spec.Name == "" {
		spec.Name = "pod-" + id[:8]
	}
	p := &Pod{Spec: spec, ContainerID: id + id, IfName: "eth0", node: n, list: n.list, Netns: filepath.Join(n.Root, "netns", id)}
	capabilities := map[string]any{"portMappings": spec.Ports}
	below := "/kubepods/burstable/pod" + spec.UID
	switch {
	case spec.CgroupPath != "":
		capabilities["cgroupPath"] = spec.CgroupPath
	case spec.Cgroup == CgroupGiven:
		capabilities["cgroupPath"] = below
	case spec.Cgroup == CgroupLate:
		below = "/late/" + id
	}
	p.Cgroup = filepath.Join(n.CgroupRoot, below)
	p.rt = &libcni.RuntimeConf{
		ContainerID: p.ContainerID, NetNS: p.Netns, IfName: p.IfName, CapabilityArgs: capabilities,
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", spec.Namespace}, {"K8S_POD_NAME", spec.Name},
			{"K8S_POD_INFRA_CONTAINER_ID", p.ContainerID}, {"K8S_POD_UID", spec.UID}},
	}
	if spec.IP.IsValid() {
		p.rt.Args = append(p.rt.Args, [2]string{"IP", spec.IP.String()})
	}
	n.mu.Lock()
	n.pods[p] = struct{}{}
	n.mu.Unlock()
	if err := p.setUp(); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

func (p *Pod) setUp() error {
	// Addresses are unique here: duplicate detection would cost seconds.
	if err := makeNetns(p.Netns, map[string]string{"net/ipv6/conf/default/accept_dad": "0"}); err != nil {
		return err
	}
	if p.Spec.CgroupPath != "" || p.Spec.Cgroup == CgroupLate {
		return nil
	}
	if err := os.MkdirAll(p.Cgroup, 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	return nil
}

// AddPod makes a pod and attaches it by CNI ADD. If that fails it is deleted.
func (n *Node) AddPod(ctx context.Context, spec PodSpec) (*Pod, error) {
	p, err := n.NewPod(spec)
	if err != nil {
		return nil, err
	}
	if err := p.Add(ctx); err != nil {
		return nil, errors.Join(err, n.DelPod(context.WithoutCancel(ctx), p))
	}
	return p, nil
}

// AddLink gives a pod a further interface, of a network of its own without a default
// route, as Multus does. What it returns is the pod with that interface; DelPod of the
// pod leaves it.
func (n *Node) AddLink(ctx context.Context, p *Pod, ifName string) (*Pod, error) {
	list, err := n.second()
	if err != nil {
		return nil, err
	}
	q, rt := *p, *p.rt
	rt.IfName = ifName
	q.IfName, q.rt, q.list, q.Spec.Labels = ifName, &rt, list, nil
	return &q, q.Add(ctx)
}

// DelPod kills what runs in the pod, runs CNI DEL and removes the pod.
func (n *Node) DelPod(ctx context.Context, p *Pod) error {
	return errors.Join(removeCgroup(p.Cgroup), p.Del(ctx), p.remove())
}

// CheckPod runs CNI CHECK.
func (n *Node) CheckPod(ctx context.Context, p *Pod) error {
	return n.Do(func() error { return n.cni.CheckNetworkList(ctx, n.list, p.rt) })
}

// Pods are the pods that are not deleted.
func (n *Node) Pods() []*Pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	var pods []*Pod
	for p := range n.pods {
		pods = append(pods, p)
	}
	slices.SortFunc(pods, func(a, b *Pod) int { return slices.Compare([]byte(a.ContainerID), []byte(b.ContainerID)) })
	return pods
}

// Add runs CNI ADD.
func (p *Pod) Add(ctx context.Context) error {
	if p.Spec.Labels != nil {
		if err := p.writeManifest(ctx); err != nil {
			return err
		}
	}
	return p.node.Do(func() error {
		result, err := p.node.cni.AddNetworkList(ctx, p.list, p.rt)
		if err != nil {
			return err
		}
		if p.Result, err = types100.NewResultFromResult(result); err != nil {
			return fmt.Errorf("read result: %w", err)
		}
		p.IPs = nil
		for _, ip := range p.Result.IPs {
			a, _ := netip.AddrFromSlice(ip.Address.IP)
			p.IPs = append(p.IPs, a.Unmap())
		}
		return nil
	})
}

// Del runs CNI DEL and nothing else.
func (p *Pod) Del(ctx context.Context) error {
	return p.node.Do(func() error { return p.node.cni.DelNetworkList(ctx, p.list, p.rt) })
}

// RemoveNetns removes the network namespace, as if the runtime had lost it.
func (p *Pod) RemoveNetns() error {
	if err := unmount(p.Netns); err != nil {
		return err
	}
	if err := os.Remove(p.Netns); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace: %w", err)
	}
	return nil
}

// remove removes what setUp made, without CNI.
func (p *Pod) remove() error {
	err := errors.Join(removeCgroup(p.Cgroup), p.RemoveNetns(), p.node.RemoveManifest(p.manifest()))
	p.node.mu.Lock()
	delete(p.node.pods, p)
	p.node.mu.Unlock()
	return err
}

// IPv4 is the pod's first IPv4 address.
func (p *Pod) IPv4() netip.Addr { return p.ip(netip.Addr.Is4) }

// IPv6 is the pod's first IPv6 address.
func (p *Pod) IPv6() netip.Addr { return p.ip(netip.Addr.Is6) }

func (p *Pod) ip(is func(netip.Addr) bool) netip.Addr {
	if i := slices.IndexFunc(p.IPs, is); i >= 0 {
		return p.IPs[i]
	}
	return netip.Addr{}
}

// Command prepares a program that runs in the pod, in its container "main".
func (p *Pod) Command(ctx context.Context, name string, args ...string) *Command {
	return p.CommandIn(ctx, "main", name, args...)
}

// CommandIn prepares a program that runs in one of the pod's containers: a cgroup
// below the pod's, made when the first program starts.
func (p *Pod) CommandIn(ctx context.Context, container, name string, args ...string) *Command {
	return newCommand(ctx, p.Netns, filepath.Join(p.Cgroup, container), name, args)
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
