// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// image is the one image of the tests: of the sandbox by its entrypoint, of the
// containers by the commands that they are given.
const image = "sluice.test/box:1"

// applets are names of busybox in the image.
var applets = []string{"cat", "chmod", "cp", "httpd", "id", "ln", "mount", "mv", "nc", "rm", "sh", "test", "timeout", "unshare"}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func describe(kind string, b []byte) descriptor {
	return descriptor{MediaType: "application/vnd.oci.image." + kind, Digest: digest(b), Size: len(b)}
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// writeImage writes an OCI image of two static programs to a tar file.
func writeImage(path, busybox, probe string) error {
	layer, err := makeLayer(busybox, probe)
	if err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "Entrypoint": pause},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return fmt.Errorf("encode image config: %w", err)
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": describe("config.v1+json", config),
		"layers": []descriptor{describe("layer.v1.tar", layer)},
	})
	if err != nil {
		return fmt.Errorf("encode image manifest: %w", err)
	}
	root := describe("manifest.v1+json", manifest)
	root.Annotations = map[string]string{"io.containerd.image.name": image}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{root}})
	if err != nil {
		return fmt.Errorf("encode image index: %w", err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	files := []entry{{name: "oci-layout", content: []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {name: "index.json", content: index}}
	for _, b := range [][]byte{layer, config, manifest} {
		files = append(files, entry{name: "blobs/sha256/" + strings.TrimPrefix(digest(b), "sha256:"), content: b})
	}
	for _, f := range files {
		f.mode = 0o644
		if err := f.write(w); err != nil {
			return fmt.Errorf("write image: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// makeLayer holds busybox under many names, and several copies of probe: files of
// their own, so programs of their own.
func makeLayer(busyboxPath, probePath string) ([]byte, error) {
	busybox, err := os.ReadFile(busyboxPath)
	if err != nil {
		return nil, err
	}
	probe, err := os.ReadFile(probePath)
	if err != nil {
		return nil, err
	}
	entries := []entry{
		{name: "app/", mode: 0o755}, {name: "bin/", mode: 0o755}, {name: "etc/", mode: 0o755},
		{name: "tmp/", mode: 0o1777}, {name: "usr/", mode: 0o755}, {name: "usr/bin/", mode: 0o755},
		{name: "www/", mode: 0o755},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")},
		{name: "www/index.html", mode: 0o644, content: []byte("hello\n")},
		{name: "bin/busybox", mode: 0o755, content: busybox},
		{name: "app/alpha", mode: 0o755, content: probe},
		{name: "app/beta", mode: 0o755, content: probe},
		{name: "app/gamma", mode: 0o755, content: probe},
		{name: "app/setuid", mode: 0o4755, content: probe},
		{name: "usr/bin/gamma", link: "/app/gamma"},
	}
	for _, name := range applets {
		entries = append(entries, entry{name: "bin/" + name, link: "busybox"})
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if err := e.write(w); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return out.Bytes(), err
}

// entry is a file, a folder if its name ends so, or a symlink.
type entry struct {
	name, link string
	mode       int64
	content    []byte
}

func (e entry) write(w *tar.Writer) error {
	h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), Typeflag: tar.TypeReg}
	switch {
	case strings.HasSuffix(e.name, "/"):
		h.Typeflag = tar.TypeDir
	case e.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(e.content)
	return err
}
