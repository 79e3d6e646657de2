// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// cgroupFolder is where a cgroupPath lies below the cgroup root. The notations:
// a path (cgroupfs driver), one slice (systemd driver: "a-b.slice" lies in
// "a.slice"), and runc's "slice:prefix:name".
func cgroupFolder(notation string) (string, error) {
	if slice, rest, ok := strings.Cut(notation, ":"); ok {
		prefix, name, ok := strings.Cut(rest, ":")
		if !ok || name == "" || strings.ContainsAny(rest, "/") {
			return "", errors.New("not of the form slice:prefix:name")
		}
		return unitFolder(slice, prefix, name)
	}
	clean := path.Clean("/" + notation)
	if clean == "/" {
		return "", errors.New("it is the root")
	}
	if base := clean[1:]; !strings.Contains(base, "/") && strings.HasSuffix(base, ".slice") {
		return sliceFolder(base)
	}
	return clean, nil
}

// unitFolder is where systemd puts the unit that runc makes.
func unitFolder(slice, prefix, name string) (string, error) {
	if slice == "" {
		slice = "system.slice" // as runc does
	}
	folder, err := sliceFolder(slice)
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(name, ".slice") {
		return path.Join(folder, name), nil
	}
	if prefix != "" {
		name = prefix + "-" + name
	}
	return path.Join(folder, name+".scope"), nil
}

// sliceFolder is where systemd puts a slice: below the slices that its name names.
func sliceFolder(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q is not the name of a slice", slice)
	}
	folder := "/"
	if name == "-" {
		return folder, nil
	}
	parts := strings.Split(name, "-")
	for i, part := range parts {
		if part == "" {
			return "", fmt.Errorf("%q is not the name of a slice", slice)
		}
		folder = path.Join(folder, strings.Join(parts[:i+1], "-")+".slice")
	}
	return folder, nil
}
