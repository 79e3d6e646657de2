// SPDX-License-Identifier: Apache-2.0

// Package vm runs programs under kernels other than this machine's, in guests of
// QEMU that emulates in software: a guest is 10 to 25 times slower.
package vm

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed" // the guest's first process
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed init.sh
var guestInit string

// Config says what guest to boot.
type Config struct {
	Kernel Kernel
	// Files are those of this machine that the guest has, by their name there.
	Files map[string]string
	// Programs are those of this machine that the guest has, with their libraries.
	// The guest has busybox's too, where they are not named here.
	Programs []string
	// ICount lets time pass with the instructions that run, one a nanosecond, so
	// that costs can be compared. The guest has one processor then.
	ICount bool
}

// Command is a program that runs in the guest.
type Command struct {
	Dir  string   // made if it is not there
	Env  []string // beside PATH and HOME
	Args []string // the program first
}

// Result is how a command ended.
type Result struct {
	Output string // both outputs
	Status int
	Took   time.Duration // by the guest's clock
}

// Run boots a guest, runs the commands one after the other and powers off. If the
// guest dies, the results are those of the commands that had ended, and the error
// holds what the others wrote and what the kernel said.
func Run(ctx context.Context, c Config, commands ...Command) (_ []Result, err error) {
	dir, err := os.MkdirTemp("", "sluice-vm-")
	if err != nil {
		return nil, fmt.Errorf("make guest: %w", err)
	}
	defer os.RemoveAll(dir)
	mark := rand.Text() // begins the line that says how a command ended
	archive, console := filepath.Join(dir, "initramfs"), filepath.Join(dir, "console")
	if err := writeInitramfs(ctx, archive, c, script(mark, commands)); err != nil {
		return nil, fmt.Errorf("make guest: %w", err)
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", c.arguments(archive, console)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	results, rest := read(out.String(), mark)
	if len(results) != len(commands) { // a panic ends QEMU with status 0
		log, _ := os.ReadFile(console)
		return results, fmt.Errorf("guest ended early: %v, %v\n%s\n%s\n%s", err, ctx.Err(), said.String(), rest, log)
	}
	return results, nil
}

func (c *Config) arguments(initramfs, console string) []string {
	// One thread for all processors: with more, guests panicked 2 times of 16.
	args := []string{"-accel", "tcg,thread=single,tb-size=512", "-cpu", "max", "-m", "3G",
		"-nodefaults", "-display", "none", "-no-reboot", "-kernel", c.Kernel.Image, "-initrd", initramfs,
		"-serial", "file:" + console, "-serial", "stdio",
		"-append", "console=ttyS0 loglevel=5 no_timer_check panic=-1 mitigations=off lsm=landlock,lockdown,yama,integrity,bpf"}
	if c.ICount {
		return append(args, "-smp", "1", "-icount", "shift=0,sleep=off")
	}
	return append(args, "-smp", "2")
}

// script is what the guest runs.
func script(mark string, commands []Command) string {
	var b strings.Builder
	for _, c := range commands {
		dir := quote(c.Dir)
		fmt.Fprintf(&b, "read from rest < /proc/uptime\n"+
			"(mkdir -p %s && cd %s && env %s %s)\nstatus=$?\nread to rest < /proc/uptime\n"+
			"printf '\\n%s %%d %%s %%s\\n' $status $from $to\n",
			dir, dir, quote(c.Env...), quote(c.Args...), mark)
	}
	return b.String()
}

func quote(words ...string) string {
	var out []string
	for _, w := range words {
		out = append(out, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(out, " ")
}

// read parts what the guest wrote by the marks, and returns what is left.
func read(out, mark string) ([]Result, string) {
	var results []Result
	for {
		var status int
		var from, to float64
		said, after, _ := strings.Cut(out, "\n"+mark+" ")
		line, after, ended := strings.Cut(after, "\n")
		if _, err := fmt.Sscan(line, &status, &from, &to); err != nil || !ended {
			return results, out
		}
		took := time.Duration((to - from) * float64(time.Second))
		results, out = append(results, Result{Output: said, Status: status, Took: took}), after
	}
}
