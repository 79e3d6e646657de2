// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// initramfs writes the guest's files as an archive of the format newc, which the
// kernel unpacks into its root.
type initramfs struct {
	out   *bufio.Writer
	size  int
	known map[string]bool
}

// merged are the folders that are links into /usr, as Debian has it.
var merged = []string{"bin", "sbin", "lib", "lib64"}

// add adds a file; folders above it are made. What is there already stays.
func (a *initramfs) add(name string, mode fs.FileMode, content string) error {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if top, _, below := strings.Cut(name, "/"); below && slices.Contains(merged, top) {
		name = "usr/" + name
	}
	if name == "" || name == "." || a.known[name] {
		return nil
	}
	if err := a.add(path.Dir(name), fs.ModeDir|0o755, ""); err != nil {
		return err
	}
	a.known[name] = true
	return a.record(name, mode, content)
}

func (a *initramfs) record(name string, mode fs.FileMode, content string) error {
	kind := 0o100000
	switch mode.Type() {
	case fs.ModeDir:
		kind = 0o040000
	case fs.ModeSymlink:
		kind = 0o120000
	}
	// Inode, mode, uid, gid, links, mtime, size, device (4), length of the name, checksum.
	n, err := fmt.Fprintf(a.out, "070701%08x%08x%08x%08x%08x%08x%08x%032x%08x%08x%s\x00",
		len(a.known), kind|int(mode.Perm()), 0, 0, 1, 0, len(content), 0, len(name)+1, 0, name)
	a.size += n
	if err == nil {
		err = a.pad()
	}
	if err == nil {
		n, err = io.WriteString(a.out, content)
		a.size += n
	}
	return errors.Join(err, a.pad())
}

func (a *initramfs) pad() error {
	for ; a.size%4 != 0; a.size++ {
		if err := a.out.WriteByte(0); err != nil {
			return err
		}
	}
	return nil
}

// addFile adds a file of this machine, and what its name points to.
func (a *initramfs) addFile(name, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return a.add(name, info.Mode().Perm(), string(content))
}

// addTree adds a folder with all below it.
func (a *initramfs) addTree(name, from string) error {
	return filepath.WalkDir(from, func(at string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return a.addFile(path.Join(name, strings.TrimPrefix(at, from)), at)
	})
}

// library is a line of ldd: a name and where it is, or where the loader is.
var library = regexp.MustCompile(`(?m)^\t(?:\S+ => )?(/\S+) \(0x`)

// addProgram adds a program of this machine, at its place, with its libraries.
func (a *initramfs) addProgram(ctx context.Context, name string) error {
	at, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	if err := a.addFile(at, at); err != nil {
		return err
	}
	files := []string{at}
	if strings.HasSuffix(name, "tables") { // loads its matches and targets by name
		more, err := filepath.Glob("/usr/lib/*/xtables/*.so")
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	out, err := exec.CommandContext(ctx, "ldd", files...).Output()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) { // it fails for static ones
		return err
	}
	for _, m := range library.FindAllStringSubmatch(string(out), -1) {
		files = append(files, m[1])
	}
	for _, file := range files {
		if err := a.addFile(file, file); err != nil {
			return err
		}
	}
	return nil
}

// writeInitramfs writes all that the guest has.
func writeInitramfs(ctx context.Context, to string, c Config, script string) (err error) {
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	a := &initramfs{out: bufio.NewWriter(file), known: map[string]bool{}}
	box, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	var steps []error
	for _, name := range merged {
		steps = append(steps, a.add(name, fs.ModeSymlink|0o777, "usr/"+name), a.add("usr/"+name, fs.ModeDir|0o755, ""))
	}
	for _, name := range c.Programs {
		steps = append(steps, a.addProgram(ctx, name))
	}
	for name, from := range c.Files {
		steps = append(steps, a.addFile(name, from))
	}
	steps = append(steps,
		a.addFile("/bin/busybox", box),
		a.add("/init", 0o755, guestInit),
		a.add("/commands", 0o755, script),
		a.add("/etc/passwd", 0o644, "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"),
		a.add("/etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n"),
		a.addTree("/lib/modules", c.Kernel.Modules),
	)
	if err := errors.Join(steps...); err != nil {
		return err
	}
	return errors.Join(a.record("TRAILER!!!", 0, ""), a.out.Flush())
}
