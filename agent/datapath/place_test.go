// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPlace: what rules on files name is looked up inside the container, whatever it is
// and whoever put it there.
func TestPlace(t *testing.T) {
	root := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "data", "tls"), 0o755),
		os.WriteFile(filepath.Join(root, "data", "tls", "key"), nil, 0o600),
		os.Symlink("/data/tls", filepath.Join(root, "secrets")),
		os.Symlink("/../../..", filepath.Join(root, "up")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &Resolver{container: Container{ID: 7, start: 1}, root: fd}
	defer r.Close()
	for _, tc := range []struct {
		at   Resolution
		path string // where it leads; "": nowhere
	}{
		{r.Use("/secrets/key"), "data/tls/key"},
		{r.Use("/secrets"), "data/tls"},
		{r.Use("/none"), ""},
		{r.Place("/secrets/"), "data/tls"},
		{r.Place("/data/tls/key"), ""},
		{r.Place("/up/"), "."},
	} {
		if tc.path == "" {
			if tc.at.File != (File{}) || tc.at.Why == "" {
				t.Errorf("%+v, want none", tc.at)
			}
			continue
		}
		want := filepath.Join(root, tc.path)
		var st unix.Stat_t
		if err := unix.Stat(want, &st); err != nil {
			t.Fatal(err)
		}
		if tc.at.Path != want || tc.at.File.Ino != st.Ino || tc.at.File.Container != 7 {
			t.Errorf("%+v, want %s", tc.at, want)
		}
	}
}
