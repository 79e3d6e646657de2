// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/sluice-io/sluice/bpf/bpftest"
	"github.com/sluice-io/sluice/bpf/state"
)

// TestLooksAreBounded: that processes came until the last look is said and counted.
func TestLooksAreBounded(t *testing.T) {
	dir := bpftest.Dir(t)
	cgroup, err := os.Open(bpftest.Cgroup(t))
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(cgroup.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	d, err := Open(Config{BPFFS: string(dir), Sizes: state.Sizes{Pods: 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		d.Close()
		if err := Uninstall(string(dir)); err != nil {
			t.Error(err)
		}
	}()
	if err := d.state.Register(&state.Pod{IfIndex: 1 << 30, Cookie: 1 << 60, Cgroups: []uint64{st.Ino}}); err != nil {
		t.Fatal(err)
	}
	if _, entered, err := d.look(1); entered != 1 || !errors.Is(err, errUnsettled) {
		t.Errorf("one look: %d entered, %v", entered, err)
	}
	if list, entered, err := d.look(1); len(list) != 1 || entered != 0 || err != nil {
		t.Errorf("another: %d processes, %d entered, %v", len(list), entered, err)
	}
	c, err := d.Counters()
	if err != nil || c.Full["looks"] != 1 {
		t.Errorf("counted %d times, %v", c.Full["looks"], err)
	}
}
