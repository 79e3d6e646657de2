// SPDX-License-Identifier: Apache-2.0

package rpc

import "time"

// Process is the process behind a flow or an event. A flow's has no more than its names.
type Process struct {
	Path string `json:"path"` // as in its mount namespace; of a memfd its name alone
	// Interpreter runs Path, a script.
	Interpreter  string   `json:"interpreter,omitempty"`
	Args         []string `json:"args,omitempty"`
	Truncated    bool     `json:"truncated,omitempty"` // Args or Path are longer
	Cwd          string   `json:"cwd,omitempty"`
	PID          uint32   `json:"pid"`
	ParentPID    uint32   `json:"parentPid,omitempty"`
	UID          uint32   `json:"uid"` // effective
	ExecID       string   `json:"execId"`
	ParentExecID string   `json:"parentExecId,omitempty"`
	// Container is the last part of its cgroup's path, as the runtime calls it.
	Container   string       `json:"container,omitempty"`
	Binary      *Binary      `json:"binary,omitempty"`
	Credentials *Credentials `json:"credentials,omitempty"`
	Namespaces  *Namespaces  `json:"namespaces,omitempty"`
}

// Binary is the file of a program.
type Binary struct {
	Inode  uint64 `json:"inode"`
	Device string `json:"device"` // major:minor
	Mount  uint64 `json:"mount"`  // unique id (statx(2)), or the id in mountinfo before Linux 6.8
}

// Credentials are what a process may do. All capabilities together are ["ALL"].
type Credentials struct {
	UID       uint32   `json:"uid"` // real
	EUID      uint32   `json:"euid"`
	GID       uint32   `json:"gid"` // real
	EGID      uint32   `json:"egid"`
	Permitted []string `json:"permitted"` // capabilities
	Effective []string `json:"effective"`
}

// Namespaces are inode numbers, as in /proc/PID/ns.
type Namespaces struct {
	Mnt    uint32 `json:"mnt"`
	Net    uint32 `json:"net"`
	PID    uint32 `json:"pid"` // of its children
	User   uint32 `json:"user"`
	Cgroup uint32 `json:"cgroup"`
	UTS    uint32 `json:"uts"`
	IPC    uint32 `json:"ipc"`
}

// Ancestor is a process image that another comes from, by exec or fork.
type Ancestor struct {
	Path   string `json:"path"`
	PID    uint32 `json:"pid"`
	ExecID string `json:"execId"`
}

// Running is a process of a pod that runs.
type Running struct {
	Pod       PodRef    `json:"pod"`
	StartTime time.Time `json:"startTime"` // of its last exec, or of its fork
	Process   Process   `json:"process"`
}
