// SPDX-License-Identifier: Apache-2.0

// Package conf_test reads each file that ships.
package conf_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"sigs.k8s.io/yaml"

	"github.com/sluice-io/sluice/policy/manifest"
)

// eachFile runs a subtest for every file of a folder and fails if there is none.
func eachFile(t *testing.T, folder string, test func(t *testing.T, data []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no file in %s", folder)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			test(t, data)
		})
	}
}

func TestSamples(t *testing.T) {
	eachFile(t, "samples", func(t *testing.T, data []byte) {
		docs, err := manifest.Split(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(docs) == 0 {
			t.Error("no object")
		}
		for _, doc := range docs {
			if _, err := manifest.Parse(doc.Data); err != nil {
				t.Errorf("%s: %v", doc, err)
			}
		}
	})
}

func TestConflists(t *testing.T) {
	eachFile(t, "conflist", func(t *testing.T, data []byte) {
		list, err := libcni.NetworkConfFromBytes(data)
		if err != nil {
			t.Fatal(err)
		}
		if list.CNIVersion != "1.1.0" { // below it libcni skips GC and STATUS
			t.Errorf("cniVersion %q", list.CNIVersion)
		}
		last := list.Plugins[len(list.Plugins)-1].Network
		if last.Type != "sluice-cni" || !last.Capabilities["cgroupPath"] {
			t.Errorf("last plugin is %q with capabilities %v", last.Type, last.Capabilities)
		}
	})
}

func TestCRDs(t *testing.T) {
	eachFile(t, "crds", func(t *testing.T, data []byte) {
		var crd struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Spec       struct {
				Group    string           `json:"group"`
				Versions []map[string]any `json:"versions"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(data, &crd); err != nil {
			t.Fatal(err)
		}
		if crd.APIVersion != "apiextensions.k8s.io/v1" || crd.Kind != "CustomResourceDefinition" {
			t.Errorf("%s %s", crd.APIVersion, crd.Kind)
		}
		if crd.Spec.Group != "sluice.dev" || len(crd.Spec.Versions) != 1 || crd.Spec.Versions[0]["name"] != "v1alpha1" {
			t.Errorf("spec: group %q, %d versions", crd.Spec.Group, len(crd.Spec.Versions))
		}
	})
}
