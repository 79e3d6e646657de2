// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Newest is the series that names the newest kernel that can be had.
const Newest = "newest"

// ErrUnavailable means that a kernel cannot be downloaded.
var ErrUnavailable = errors.New("kernel is not to be had")

// backports is where kernels come from that the machine's own suites do not have.
const backports = "trixie-backports"

// Kernel is one that was unpacked, and is not installed.
type Kernel struct {
	Release string // as `uname -r` says
	Image   string // the file to boot
	Modules string // the folder that is /lib/modules in the guest
}

// FindKernel returns a kernel of a series, such as 6.12: the one that was kept in
// dir, or else the series' last, which it downloads from the package sources of
// this machine, or of the same mirror's backports.
func FindKernel(ctx context.Context, dir, series string) (Kernel, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Kernel{}, fmt.Errorf("find kernel folder: %w", err)
	}
	at := filepath.Join(dir, series)
	if _, err := os.Stat(at); err == nil {
		return unpacked(at)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Kernel{}, fmt.Errorf("make kernel folder: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, series+"-")
	if err != nil {
		return Kernel{}, fmt.Errorf("make kernel folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := fetch(ctx, tmp, series); err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %s: %w: %w", series, ErrUnavailable, err)
	}
	k, err := unpacked(tmp)
	if err != nil {
		return Kernel{}, err
	}
	if _, err := run(ctx, tmp, "busybox", "depmod", "-b", filepath.Dir(filepath.Dir(k.Modules)), k.Release); err != nil {
		return Kernel{}, err
	}
	if err := os.Rename(tmp, at); err != nil {
		return Kernel{}, fmt.Errorf("keep kernel: %w", err)
	}
	return unpacked(at)
}

// unpacked finds the parts of a kernel, which packages put in different places.
func unpacked(at string) (Kernel, error) {
	one := func(patterns ...string) string {
		for _, p := range patterns {
			if found, _ := filepath.Glob(filepath.Join(at, p)); len(found) == 1 {
				return found[0]
			}
		}
		return ""
	}
	image := one("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
	modules := one("lib/modules/*", "usr/lib/modules/*")
	if image == "" || modules == "" {
		return Kernel{}, fmt.Errorf("find kernel in %s: no image with modules", at)
	}
	return Kernel{Release: filepath.Base(modules), Image: image, Modules: filepath.Dir(modules)}, nil
}

// fetch unpacks the packages of a series' last kernel into dir.
func fetch(ctx context.Context, dir, series string) error {
	var options []string
	var last string
	if series != Newest {
		last, _ = lastPackage(ctx, dir, nil, series)
	}
	if last == "" {
		var err error
		if options, err = foreignLists(ctx, dir); err != nil {
			return err
		}
		if last, err = lastPackage(ctx, dir, options, series); err != nil {
			return err
		}
	}
	packages := []string{last}
	out, err := apt(ctx, dir, "apt-cache", options, "depends", "--important", last)
	if err != nil {
		return err
	}
	// Newer packages hold the image and the modules apart.
	for _, m := range regexp.MustCompile(`Depends: (linux-(?:binary|modules)-\S+)`).FindAllStringSubmatch(out, -1) {
		packages = append(packages, m[1])
	}
	if _, err := apt(ctx, dir, "apt-get", options, append([]string{"download"}, packages...)...); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != len(packages) {
		return fmt.Errorf("downloaded %q, want %q: %w", files, packages, err)
	}
	for _, file := range files {
		if _, err := run(ctx, dir, "dpkg", "-x", file, "."); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(dir, "apt"))
}

// lastPackage is the last package of a series that apt knows.
func lastPackage(ctx context.Context, dir string, options []string, series string) (string, error) {
	out, err := apt(ctx, dir, "apt-cache", options, "pkgnames", "linux-image-")
	if err != nil {
		return "", err
	}
	prefix := regexp.QuoteMeta(series) + `\.`
	if series == Newest {
		prefix = `\d+\.\d+\.`
	}
	found := regexp.MustCompile(`(?m)^linux-image-`+prefix+`\d+(\+deb\d+)?-cloud-amd64$`).FindAllString(out, -1)
	if len(found) == 0 {
		return "", errors.New("no package")
	}
	return slices.MaxFunc(found, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }), nil
}

// numbers are those in a version, to be compared one by one.
func numbers(s string) []int {
	var out []int
	for _, digits := range regexp.MustCompile(`\d+`).FindAllString(s, -1) {
		n := 0
		for _, d := range digits {
			n = 10*n + int(d-'0')
		}
		out = append(out, n)
	}
	return out
}

// foreignLists reads the package lists of the backports into a folder of its own,
// and returns the options with which apt uses it. The mirror is the machine's.
func foreignLists(ctx context.Context, dir string) ([]string, error) {
	out, err := apt(ctx, dir, "apt-get", nil, "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Label: Debian")
	if err != nil {
		return nil, err
	}
	mirror, _, _ := strings.Cut(out, "\n")
	if mirror == "" {
		return nil, errors.New("this machine has no Debian package source")
	}
	at := filepath.Join(dir, "apt")
	for _, folder := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(at, folder), 0o755); err != nil {
			return nil, fmt.Errorf("make package lists: %w", err)
		}
	}
	list := filepath.Join(at, "sources.list")
	source := "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " + mirror + " " + backports + " main\n"
	if err := os.WriteFile(list, []byte(source), 0o644); err != nil {
		return nil, fmt.Errorf("write package source: %w", err)
	}
	options := []string{"-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::State::lists=" + filepath.Join(at, "lists"), "-o", "Dir::Cache=" + filepath.Join(at, "cache")}
	_, err = apt(ctx, dir, "apt-get", options, "update", "-o", "APT::Update::Error-Mode=any")
	return options, err
}

func apt(ctx context.Context, dir, program string, options []string, args ...string) (string, error) {
	all := slices.Concat([]string{"-q", "-o", "APT::Sandbox::User=root"}, options, args)
	return run(ctx, dir, program, all...)
}

// run runs a program in a folder and returns its standard output.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, said.String())
	}
	return out.String(), nil
}
