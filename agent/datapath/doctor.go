// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/sluice-io/sluice/bpf/capability"
	"github.com/sluice-io/sluice/bpf/cred"
	"github.com/sluice-io/sluice/bpf/door"
	"github.com/sluice-io/sluice/bpf/file"
	"github.com/sluice-io/sluice/bpf/lsm"
	"github.com/sluice-io/sluice/bpf/nat"
	"github.com/sluice-io/sluice/bpf/process"
	"github.com/sluice-io/sluice/bpf/sock"
	"github.com/sluice-io/sluice/bpf/state"
)

// Capability is one thing that a node's kernel may give.
type Capability struct {
	Name     string
	Gives    string // what Sluice does with it
	Without  string // what is missing without it
	Switch   string // its name for --disable, "" if it cannot be left out
	Required bool   // without it the agent does not start
	Err      error  // why the kernel refuses it; nil: it is there
}

// Probe tries to load every capability, on maps of its own that go again, and says
// what the kernel answered. No version is asked.
func Probe() []Capability {
	s, err := state.New()
	if err != nil {
		return []Capability{{Name: "maps", Gives: "everything", Required: true, Err: err}}
	}
	defer s.Close()
	return []Capability{
		{
			Name: "pid namespace", Gives: "process records are told from those of processes that are gone", Required: true,
			Err: ownPIDs(),
		}, {
			Name: "tcx", Gives: "pod door: every frame of a pod is denied or allowed", Required: true,
			Err: load(func() (*ebpf.Collection, error) { return door.Load(s, door.Config{}) }),
		}, {
			Name: "cgroup sockets", Gives: "socket point: process rules, EPERM for WorkloadPolicy denials", Required: true,
			Err: load(func() (*ebpf.Collection, error) { return sock.Load(s, door.Config{}) }),
		}, {
			Name: "process tracepoints", Gives: "process records; a setuid, setgid or file-capability exec is killed", Required: true,
			Err: load(func() (*ebpf.Collection, error) { return process.Load(s) }),
		}, {
			Name: "sys_exit tracepoint", Switch: "syscalls", Gives: "a uid, gid or capability gain by any system call is killed",
			Without: "such a gain is seen at the next exec only",
			Err:     load(func() (*ebpf.Collection, error) { return cred.Load(s) }),
		}, {
			Name: "socket tracepoints", Switch: "sockets", Gives: "a connection that another program inherits or is passed is judged as that program's, from its first use on",
			Without: "such a connection stays allowed",
			Err:     load(func() (*ebpf.Collection, error) { return sock.LoadUse(s) }),
		}, {
			Name: "exec tracepoint", Switch: "scripts", Gives: "a process rule may name a script",
			Without: "a script matches no process rule",
			Err:     load(func() (*ebpf.Collection, error) { return process.LoadScript(s) }),
		}, {
			Name: "netfilter", Switch: "netfilter", Gives: "a Service is judged by the backend that is chosen",
			Without: "addresses are judged as they were dialled: a Service is denied where its own address is",
			Err:     load(func() (*ebpf.Collection, error) { return nat.Load(s, door.Config{}) }),
		}, {
			Name: "BPF LSM", Switch: "lsm", Gives: "full tier: an exec, or the use of a capability or a file, fails with EPERM",
			Without: "no-LSM tier: what is to be denied is observed or killed, as the policy's fallback says",
			Err:     lsm.Try(s),
		}, {
			Name: "capability tracepoint", Gives: "without LSM: who uses a capability is killed or observed",
			Without: "without LSM nobody is killed for the use of a capability",
			Err:     capability.Try(s),
		}, {
			Name: "file opens", Switch: "syscalls", Gives: "without LSM: who opens a file is killed or observed",
			Without: "without LSM nobody sees the use of a file",
			Err:     load(func() (*ebpf.Collection, error) { return file.LoadOpened(s) }),
		},
	}
}

func load(f func() (*ebpf.Collection, error)) error {
	c, err := f()
	if err != nil {
		return err
	}
	c.Close()
	return nil
}

// Reason is the kernel's answer on one line.
func (c *Capability) Reason() string {
	var v *ebpf.VerifierError
	if errors.As(c.Err, &v) {
		return v.Cause.Error()
	}
	if c.Err != nil {
		line, _, _ := strings.Cut(c.Err.Error(), "\n")
		return line
	}
	return ""
}
