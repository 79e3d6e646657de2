// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCgroupFolder(t *testing.T) {
	for notation, want := range map[string]string{
		"/kubepods/burstable/pod1":               "/kubepods/burstable/pod1",
		"kubepods/pod1/":                         "/kubepods/pod1",
		"/kubepods/../../../etc":                 "/etc", // below the root all the same
		"kubepods.slice":                         "/kubepods.slice",
		"kubepods-burstable-pod1_2.slice":        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
		"/kubepods-pod1.slice":                   "/kubepods.slice/kubepods-pod1.slice",
		"/kubepods.slice/kubepods-pod1.slice":    "/kubepods.slice/kubepods-pod1.slice",
		"kubepods-pod1.slice:cri-containerd:abc": "/kubepods.slice/kubepods-pod1.slice/cri-containerd-abc.scope",
		":cri:abc":                               "/system.slice/cri-abc.scope",
		"-.slice:cri:abc":                        "/cri-abc.scope",
		"a.slice::abc":                           "/a.slice/abc.scope",
		"a.slice:cri:a-b.slice":                  "/a.slice/a-b.slice",
		"":                                       "",
		"/":                                      "",
		"..":                                     "",
		".slice":                                 "",
		"a--b.slice":                             "",
		"-a.slice":                               "",
		"a-.slice":                               "",
		"a.slice:b":                              "",
		"a.slice:b:":                             "",
		"a.slice:b:../../c":                      "",
		"a:b:c":                                  "",
		"../a.slice:b:c":                         "",
	} {
		got, err := cgroupFolder(notation)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", notation, got, err, want)
		}
	}
}

func FuzzCgroupFolder(f *testing.F) {
	f.Add("/kubepods/burstable/pod1")
	f.Add("a-b.slice:cri:c")
	f.Fuzz(func(t *testing.T, notation string) {
		folder, err := cgroupFolder(notation)
		if err == nil && (!strings.HasPrefix(folder, "/") || filepath.Clean(folder) != folder) {
			t.Errorf("%q leads to %q", notation, folder)
		}
	})
}

func TestCgroup2Mount(t *testing.T) {
	const (
		v1   = "27 20 0:22 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"
		v2   = "28 20 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw\n"
		pure = "28 20 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
		part = "29 20 0:23 /a/b /mnt/part rw - cgroup2 cgroup2 rw\n"
	)
	for table, want := range map[string]string{
		v1 + v2: "/sys/fs/cgroup/unified", pure: "/sys/fs/cgroup", part + v2: "/sys/fs/cgroup/unified",
		part: "/mnt/part", v1: "", "": "", "28 20 - cgroup2 x\nodd\n": "",
	} {
		if got := cgroup2Mount(table); got != want {
			t.Errorf("%q: %q, want %q", table, got, want)
		}
	}
}

func FuzzCgroup2Mount(f *testing.F) {
	f.Add("28 20 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	f.Add("27 20 0:22 /a /b rw shared:9 - cgroup cgroup rw,cpu\n28 20 - cgroup2 x\n")
	f.Fuzz(func(t *testing.T, table string) {
		mount := cgroup2Mount(table)
		if mount != "" && (!strings.Contains(table, mount) || !strings.Contains(table, " - cgroup2 ")) {
			t.Errorf("%q has cgroup2 at %q", table, mount)
		}
	})
}

func TestFindCgroup(t *testing.T) {
	const uid = "6c1e4a52-11f0-4ad4-9c62-6de3a2b6b3a1"
	systemd := "a-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice"
	for folder, found := range map[string]bool{
		"kubepods/burstable/pod" + uid:     true,
		"kubepods/pod" + uid + "/c":        true,
		"kubelet.slice/k.slice/" + systemd: true,
		"1/2/3/4/pod" + uid:                true,
		"1/2/3/4/5/pod" + uid:              false,
		"kubepods/pod" + uid + "x":         false,
		"kubepods/xpod" + uid:              false,
		"other":                            false,
	} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		g, err := findCgroup(root, uid)
		if err != nil {
			t.Fatal(err)
		}
		if (g.Path != "") != found || found != (g.ID != 0) || !strings.HasPrefix(filepath.Join(root, folder), g.Path) {
			t.Errorf("%s: %+v", folder, g)
		}
	}
	if g, err := findCgroup(t.TempDir(), ""); g.Path != "" || err != nil {
		t.Errorf("a pod without UID has cgroup %+v, %v", g, err)
	}
}
