// SPDX-License-Identifier: Apache-2.0

package policy

import "testing"

func TestResolved(t *testing.T) {
	for path, want := range map[string]string{
		"/bin/su": "/usr/bin/su", "/lib64": "/usr/lib64", "/lib/**": "/usr/lib/**", "/var/run/secrets/*": "/run/secrets/*",
		"/library": "/library", "/var/running": "/var/running", "/usr/bin/su": "/usr/bin/su", "/**": "/**", "/*": "/*",
	} {
		if got := Resolved(path); got != want {
			t.Errorf("%s is at %s, want %s", path, got, want)
		}
	}
}
