// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// WriteManifest writes a file of the manifests folder, whole or not at all.
func (n *Node) WriteManifest(name string, content []byte) error {
	tmp := filepath.Join(n.Root, name+".tmp")
	if err := os.WriteFile(tmp, content, 0o644); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(n.Manifests, name)); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// RemoveManifest removes a file of the manifests folder; a missing one is no error.
func (n *Node) RemoveManifest(name string) error {
	if err := os.Remove(filepath.Join(n.Manifests, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove manifest: %w", err)
	}
	return nil
}

// readTimeout bounds the wait for an agent to read a manifest.
const readTimeout = 5 * time.Second

func (p *Pod) manifest() string { return "pod-" + p.Spec.Namespace + "-" + p.Spec.Name + ".yaml" }

// writeManifest describes the pod, and waits until a running agent knows it.
func (p *Pod) writeManifest(ctx context.Context) error {
	pod := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{
		"namespace": p.Spec.Namespace, "name": p.Spec.Name, "uid": p.Spec.UID, "labels": p.Spec.Labels}}
	if p.Spec.PodSpec != nil {
		pod["spec"] = p.Spec.PodSpec
	}
	b, err := json.Marshal(pod)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	if err := p.node.WriteManifest(p.manifest(), b); err != nil {
		return err
	}
	if !p.node.agentRuns() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, Patience(readTimeout))
	defer cancel()
	for {
		_, err := p.node.Client().Get(ctx, "Pod", p.Spec.Namespace, p.Spec.Name)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the agent to read %s: %w", p.manifest(), err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
