// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/bpftest"
)

// mountOf is the id of the mount that a folder lies on.
func mountOf(t *testing.T, folder string) uint64 {
	t.Helper()
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, folder, 0, unix.STATX_MNT_ID_UNIQUE, &st); err != nil {
		t.Fatal(err)
	}
	return st.Mnt_id
}

// TestChrooted: a folder of the container's root is not its root.
func TestChrooted(t *testing.T) {
	for path, want := range map[string]bool{"/": true, "/etc": false, "/proc": false} {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := Container{root: mountOf(t, "/")}
		if got := c.beganAt(fd); got != want {
			t.Errorf("beganAt(%s) = %v, want %v", path, got, want)
		}
		unix.Close(fd)
	}
}

// TestRootOfThePod: a process whose root is a mount that the pod made shows none of the
// container's files.
func TestRootOfThePod(t *testing.T) {
	bpftest.RequireRoot(t)
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `mount --bind / "$0" && echo && read _ && exec chroot "$0" sleep 60`, root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	proc := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid))
	var ns unix.Stat_t
	if err := unix.Stat(proc+"/ns/mnt", &ns); err != nil {
		t.Fatal(err)
	}
	c := Container{pid: uint32(cmd.Process.Pid), mntNS: uint32(ns.Ino), root: mountOf(t, proc+"/root")}
	r, err := new(Datapath).OpenContainer(c, "")
	if err != nil {
		t.Fatalf("open the container: %v", err)
	}
	r.Close()
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if at, err := os.Readlink(proc + "/root"); err == nil && at == root {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process has no other root")
		}
	}
	if r, err := new(Datapath).OpenContainer(c, ""); !errors.Is(err, ErrGone) {
		t.Errorf("a root of the pod's is open: %v", err)
		if err == nil {
			r.Close()
		}
	}
}
