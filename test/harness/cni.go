// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

// makeCNI writes the node's conflist and reads it as a runtime does.
func (n *Node) makeCNI() error {
	b, err := json.MarshalIndent(n.conflist(), "", "  ")
	if err != nil {
		return fmt.Errorf("encode conflist: %w", err)
	}
	if err := os.WriteFile(n.Conflist, b, 0o644); err != nil {
		return fmt.Errorf("write conflist: %w", err)
	}
	if n.list, err = libcni.NetworkConfFromFile(n.Conflist); err != nil {
		return fmt.Errorf("read conflist: %w", err)
	}
	n.cni = libcni.NewCNIConfigWithCacheDir(n.cfg.CNIPath, filepath.Join(n.Root, "cni", "cache"), nil)
	return nil
}

func (n *Node) conflist() map[string]any {
	plugins := []map[string]any{n.base()}
	if n.cfg.Portmap {
		plugins = append(plugins, map[string]any{
			"type": "portmap", "capabilities": map[string]bool{"portMappings": true},
		})
	}
	gate := map[string]any{
		"type": "sluice-cni", "capabilities": map[string]bool{"cgroupPath": true},
		"socket": n.Socket, "bpffs": n.Bpffs, "stateDir": n.StateDir, "cgroupRoot": n.CgroupRoot,
	}
	maps.Copy(gate, n.cfg.Entry)
	if !n.cfg.Bare {
		plugins = append(plugins, gate)
	}
	version := n.cfg.CNIVersion
	if version == "" {
		version = "1.1.0"
	}
	return map[string]any{"cniVersion": version, "name": "sluice", "plugins": plugins}
}

// base is the plugin that makes the pod's interface.
func (n *Node) base() map[string]any {
	v4, v6 := n.cfg.IPv4, n.cfg.IPv6
	if !v4.IsValid() {
		v4 = netip.MustParsePrefix("10.88.0.0/16")
	}
	if !v6.IsValid() {
		v6 = netip.MustParsePrefix("fd00:88::/64")
	}
	ipam := map[string]any{
		"type": "host-local", "dataDir": filepath.Join(n.Root, "cni", "ipam"),
		"ranges": [][]map[string]any{{{"subnet": v4}}, {{"subnet": v6}}},
		"routes": []map[string]string{{"dst": "0.0.0.0/0"}, {"dst": "::/0"}},
	}
	if n.cfg.PTP {
		return map[string]any{"type": "ptp", "ipam": ipam}
	}
	return map[string]any{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": ipam}
}

// second is the conflist of a second network.
func (n *Node) second() (*libcni.NetworkConfigList, error) {
	conf := n.conflist()
	conf["name"] = "second"
	base := conf["plugins"].([]map[string]any)[0]
	base["bridge"] = "cni1"
	ipam := base["ipam"].(map[string]any)
	ipam["ranges"] = [][]map[string]any{{{"subnet": "10.89.0.0/16"}}, {{"subnet": "fd00:89::/64"}}}
	ipam["routes"] = []map[string]string{}
	b, err := json.Marshal(conf)
	if err != nil {
		return nil, fmt.Errorf("encode conflist: %w", err)
	}
	return libcni.NetworkConfFromBytes(b)
}

// AddLast runs ADD of sluice-cni alone, with the result that the chain gave: what
// the gate adds to a pod's start. The pod must have been through DelLast.
func (n *Node) AddLast(ctx context.Context, p *Pod) error {
	return n.last(p, func(conf *libcni.PluginConfig) error {
		_, err := n.cni.AddNetwork(ctx, conf, p.rt)
		return err
	})
}

// DelLast runs DEL of sluice-cni alone.
func (n *Node) DelLast(ctx context.Context, p *Pod) error {
	return n.last(p, func(conf *libcni.PluginConfig) error { return n.cni.DelNetwork(ctx, conf, p.rt) })
}

func (n *Node) last(p *Pod, call func(*libcni.PluginConfig) error) error {
	conf, err := libcni.InjectConf(n.list.Plugins[len(n.list.Plugins)-1], map[string]any{
		"name": n.list.Name, "cniVersion": n.list.CNIVersion, "prevResult": p.Result,
		"runtimeConfig": map[string]any{"cgroupPath": p.rt.CapabilityArgs["cgroupPath"]},
	})
	if err != nil {
		return fmt.Errorf("make configuration: %w", err)
	}
	return n.Do(func() error { return call(conf) })
}

// GC runs CNI GC: every attachment but those of the valid pods is freed.
func (n *Node) GC(ctx context.Context, valid ...*Pod) error {
	args := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{}}
	for _, p := range valid {
		args.ValidAttachments = append(args.ValidAttachments,
			types.GCAttachment{ContainerID: p.ContainerID, IfName: p.IfName})
	}
	return n.Do(func() error { return n.cni.GCNetworkList(ctx, n.list, args) })
}

// Status runs CNI STATUS.
func (n *Node) Status(ctx context.Context) error {
	return n.Do(func() error { return n.cni.GetStatusNetworkList(ctx, n.list) })
}
