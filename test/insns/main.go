// SPDX-License-Identifier: Apache-2.0

// Command insns prints what the program on opening files costs under 1 rule, and under
// 1,000 of 100 rule sets: nanoseconds of each run, which are instructions where time
// passes with them (vm.Config.ICount).
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/file"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/state"
)

const (
	program = "lsm_open"
	opens   = 2000
	ruleSet = 100 // the pod's
	perSet  = 10  // rules of a rule set
	allowed = 10  // the id of this program
)

func main() {
	if len(os.Args) > 1 {
		open(os.Args[1:])
		return
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "insns: %v\n", err)
		os.Exit(1)
	}
}

// open opens files again and again: one under a rule that allows it, the others not.
func open(files []string) {
	for i := range opens {
		fd, err := unix.Open(files[i%len(files)], unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		unix.Close(fd)
	}
}

func run() (err error) {
	dir, err := os.MkdirTemp("", "insns-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	bpffs := filepath.Join(dir, "bpf")
	if err := errors.Join(os.Mkdir(bpffs, 0o700), unix.Mount("bpf", bpffs, "bpf", 0, "")); err != nil {
		return fmt.Errorf("mount bpf filesystem: %w", err)
	}
	defer unix.Unmount(bpffs, unix.MNT_DETACH)
	s, err := state.Create(state.Dir(filepath.Join(bpffs, "sluice")), state.Sizes{})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := process.Install(s); err != nil {
		return err
	}
	coll, err := file.Load(s, program)
	if err != nil {
		return err
	}
	defer coll.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: coll.Programs[program]})
	if err != nil {
		return fmt.Errorf("attach %s: %w", program, err)
	}
	defer l.Close()
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("enable statistics: %w", err)
	}
	defer stats.Close()
	files, err := makeFiles(dir)
	if err != nil {
		return err
	}
	for _, rules := range []uint32{1, 1000} {
		cost, err := measure(s, coll.Programs[program], files, rules)
		if err != nil {
			return err
		}
		fmt.Printf("file_open_%d_insns %d\n", rules, cost)
	}
	return nil
}

// makeFiles makes the files that are opened; rules are on the first.
func makeFiles(dir string) ([]string, error) {
	var files []string
	for _, name := range []string{"covered/file", "usr/lib/some/folder/file"} {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, nil, 0o644)); err != nil {
			return nil, fmt.Errorf("make file: %w", err)
		}
		files = append(files, at)
	}
	return files, nil
}

// measure is the cost of a run while a process of a pod opens files.
func measure(s *state.State, p *ebpf.Program, files []string, rules uint32) (time.Duration, error) {
	cgroup, err := os.MkdirTemp("/sys/fs/cgroup", "insns-")
	if err != nil {
		return 0, fmt.Errorf("make cgroup: %w", err)
	}
	defer os.Remove(cgroup)
	at, err := os.Open(cgroup)
	if err != nil {
		return 0, fmt.Errorf("open cgroup: %w", err)
	}
	defer at.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(at.Fd()), &st); err != nil {
		return 0, fmt.Errorf("look at cgroup: %w", err)
	}
	pod := state.Pod{IfIndex: rules, Cookie: uint64(rules), Cgroups: []uint64{st.Ino}}
	if err := s.Register(&pod); err != nil {
		return 0, err
	}
	if err := write(s, pod, filepath.Dir(files[0]), rules); err != nil {
		return 0, fmt.Errorf("write rules: %w", err)
	}
	before, err := p.Stats()
	if err != nil {
		return 0, fmt.Errorf("read statistics: %w", err)
	}
	cmd := exec.Command("/proc/self/exe", files...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(at.Fd())}
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("open files: %w: %s", err, out)
	}
	after, err := p.Stats()
	if err != nil {
		return 0, fmt.Errorf("read statistics: %w", err)
	}
	n := after.RunCount - before.RunCount
	if n < opens {
		return 0, fmt.Errorf("the program ran %d times, not %d", n, opens)
	}
	return (after.Runtime - before.Runtime) / time.Duration(n), nil
}

// write writes rules of as many rule sets as they need. The first of each is on what is
// below the folder; the others are on files and folders in turn.
func write(s *state.State, pod state.Pod, covered string, rules uint32) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	errs := []error{s.Paths.Put(path(self), uint32(allowed)), folder(s, covered+"/", 11)}
	for i := range rules {
		list, id := ruleSet+i/perSet, 1000+i
		if i%perSet == 0 {
			id = 11
			errs = append(errs, s.Rulesets.Put(list, state.RawRuleset{Files: [2]uint32{list}}))
		} else if name := fmt.Sprintf("/srv/data/%d/of/%d", list, i); i%2 == 0 {
			errs = append(errs, s.Paths.Put(path(name), id))
		} else {
			errs = append(errs, folder(s, name+"/", id))
		}
		head := state.RawRuntimeHead{List: list, Rule: id, Action: uint8(state.ActionDeny)}
		for _, f := range []uint32{id, state.FileAnything} {
			errs = append(errs, s.FileRules.Put(state.RawFileKey{List: list, File: f, Operation: state.OpRead}, head))
		}
		errs = append(errs, s.Permits.Put(state.RawPermit{List: list, Program: allowed}, uint32(1)))
	}
	errs = append(errs, s.Rules.Put(pod.Slot, state.RawAssignment{Pod: pod.ID, Ruleset: ruleSet}))
	return errors.Join(errs...)
}

func path(p string) (k state.RawPathKey) {
	copy(k.Path[:], p)
	return k
}

func folder(s *state.State, path string, below uint32) error {
	k := state.RawFolderKey{Len: uint32(8 * len(path))}
	copy(k.Path[:], path)
	return s.Folders.Put(k, state.RawFolder{Len: k.Len, Below: below})
}
