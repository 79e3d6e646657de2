// SPDX-License-Identifier: Apache-2.0

package policy

import "strings"

// usualLinks are folders that are symlinks in nearly every image, and where they lead.
var usualLinks = []struct{ from, to string }{
	{"/bin", "/usr/bin"}, {"/sbin", "/usr/sbin"}, {"/lib", "/usr/lib"}, {"/lib64", "/usr/lib64"},
	{"/var/run", "/run"}, {"/var/lock", "/run/lock"},
}

// Resolved is where a path or pattern leads by the symlinks that nearly every image has,
// or path itself. A rule on files covers both, so that it holds before anyone has looked
// into a container.
func Resolved(path string) string {
	for _, link := range usualLinks {
		if rest, ok := strings.CutPrefix(path, link.from); ok && (rest == "" || rest[0] == '/') {
			return link.to + rest
		}
	}
	return path
}
