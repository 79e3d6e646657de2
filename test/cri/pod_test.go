// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// pod is a sandbox that was made over CRI.
type pod struct {
	s                    *suite
	namespace, name, uid string
	ip                   string
	sandbox              string // its id
	config               *cri.PodSandboxConfig
}

// container is one of a pod's containers.
type container struct {
	pod *pod
	id  string
}

// newPod makes the pod's manifest and the pod; both go with the test. Where the
// mode says so it makes the pod's cgroup first, as the kubelet does.
func (s *suite) newPod(t *testing.T, namespace, name string, labels map[string]string) *pod {
	t.Helper()
	p := &pod{s: s, namespace: namespace, name: name, uid: newUID()}
	manifest, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"namespace": namespace, "name": name, "uid": p.uid, "labels": labels}})
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, "Pod", namespace, name, string(manifest))
	p.config = &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Namespace: namespace, Name: name, Uid: p.uid},
		Hostname: name, LogDirectory: filepath.Join(s.node.Root, "log"), Labels: labels,
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: namespaces(), Privileged: true,
		}},
	}
	if s.cgroupGiven {
		p.config.Linux.CgroupParent = "/kubepods/burstable/pod" + p.uid
		t.Cleanup(func() { p.eachCgroup(t, removeTree) })
		p.eachCgroup(t, func(dir string) error { return os.MkdirAll(dir, 0o755) })
	}
	reply, err := s.runtime.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: p.config})
	if err != nil {
		t.Fatalf("run sandbox %s: %v", name, err)
	}
	p.sandbox = reply.PodSandboxId
	t.Cleanup(func() { p.remove(t) })
	status, err := s.runtime.PodSandboxStatus(t.Context(), &cri.PodSandboxStatusRequest{PodSandboxId: p.sandbox})
	if err != nil {
		t.Fatalf("ask for sandbox %s: %v", name, err)
	}
	p.ip = status.Status.Network.Ip
	return p
}

func namespaces() *cri.NamespaceOption {
	return &cri.NamespaceOption{Network: cri.NamespaceMode_POD, Pid: cri.NamespaceMode_CONTAINER, Ipc: cri.NamespaceMode_POD}
}

func (p *pod) eachCgroup(t *testing.T, do func(dir string) error) {
	t.Helper()
	for _, h := range p.s.runtime.hierarchies {
		if err := do(filepath.Join(h.dir, p.config.Linux.CgroupParent)); err != nil {
			t.Errorf("cgroups of pod %s: %v", p.name, err)
		}
	}
}

func (p *pod) remove(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	if _, err := p.s.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.sandbox}); err != nil {
		t.Errorf("stop sandbox %s: %v", p.name, err)
	}
	if _, err := p.s.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.sandbox}); err != nil {
		t.Errorf("remove sandbox %s: %v", p.name, err)
	}
}

// option changes a container before it is made.
type option func(*cri.ContainerConfig)

func asUser(uid int64) option {
	return func(c *cri.ContainerConfig) {
		c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: uid}
		c.Linux.SecurityContext.RunAsGroup = &cri.Int64Value{Value: uid}
	}
}

func privileged(c *cri.ContainerConfig) { c.Linux.SecurityContext.Privileged = true }

// start makes a container and starts it.
func (p *pod) start(ctx context.Context, name string, command []string, options ...option) (*container, error) {
	config := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name}, Image: &cri.ImageSpec{Image: image}, Command: command,
		Linux: &cri.LinuxContainerConfig{
			Resources:       &cri.LinuxContainerResources{},
			SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: namespaces()},
		},
	}
	for _, o := range options {
		o(config)
	}
	made, err := p.s.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: p.sandbox, Config: config, SandboxConfig: p.config,
	})
	if err != nil {
		return nil, fmt.Errorf("create container %s: %w", name, err)
	}
	c := &container{p, made.ContainerId}
	if _, err := p.s.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: c.id}); err != nil {
		return nil, fmt.Errorf("start container %s: %w", name, err)
	}
	return c, nil
}

func (p *pod) mustStart(t *testing.T, name string, command []string, options ...option) *container {
	t.Helper()
	c, err := p.start(t.Context(), name, command, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Commands of containers.
var (
	pause = []string{"/app/alpha", "sleep", "1h"}
	serve = []string{"/app/beta", "serve", "tcp", "0.0.0.0:7000"}
)

// remove kills and removes the container.
func (c *container) remove(ctx context.Context) error {
	r := c.pod.s.runtime
	if _, err := r.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: c.id}); err != nil {
		return fmt.Errorf("stop container: %w", err)
	}
	if _, err := r.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: c.id}); err != nil {
		return fmt.Errorf("remove container: %w", err)
	}
	return nil
}

func (c *container) status(t *testing.T) *cri.ContainerStatus {
	t.Helper()
	reply, err := c.pod.s.runtime.ContainerStatus(t.Context(), &cri.ContainerStatusRequest{ContainerId: c.id})
	if err != nil {
		t.Fatalf("ask for container: %v", err)
	}
	return reply.Status
}

// exec runs a program in the container as `kubectl exec` does.
func (c *container) exec(ctx context.Context, command ...string) (string, error) {
	reply, err := c.pod.s.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: c.id, Cmd: command, Timeout: 20})
	if err != nil {
		return "", fmt.Errorf("exec %q: %w", command, err)
	}
	if reply.ExitCode != 0 {
		return "", fmt.Errorf("exec %q: %w", command, &exitError{int(reply.ExitCode), string(reply.Stderr)})
	}
	return strings.TrimSpace(string(reply.Stdout)), nil
}

func (c *container) mustExec(t *testing.T, command ...string) string {
	t.Helper()
	out, err := c.exec(t.Context(), command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exitError is a program that ended with a status above 0.
type exitError struct {
	code   int
	stderr string
}

func (e *exitError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.stderr) }
