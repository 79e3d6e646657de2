// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Attachment is the record of one pod interface that the plugin attached: what
// CNI DEL, GC, a restarted agent and uninstall need to find it again.
type Attachment struct {
	Network     string       `json:"network"` // name of the conflist
	ContainerID string       `json:"containerID"`
	IfName      string       `json:"ifName"`
	Namespace   string       `json:"namespace"`
	Name        string       `json:"name"`
	UID         string       `json:"uid"`
	IPs         []netip.Addr `json:"ips"`
	Netns       string       `json:"netns"`   // path given at ADD
	Cookie      uint64       `json:"cookie"`  // of the network namespace
	NetnsID     int32        `json:"netnsID"` // of the namespace, in the node's
	MAC         string       `json:"mac"`     // of the pod's side
	HostIf      string       `json:"hostIf"`
	HostIfIndex int          `json:"hostIfIndex"`
	Cgroup      string       `json:"cgroup"`   // absolute path, "" if not known at ADD
	CgroupID    uint64       `json:"cgroupID"` // 0 if not known at ADD
	Slot        uint32       `json:"slot"`     // index into the kernel's pod tables
	PodID       uint32       `json:"podID"`    // never reused
	Open        bool         `json:"open"`     // open, not closed, until realised
	Created     time.Time    `json:"created"`
}

// HardwareAddr is MAC; nil if it is not known.
func (a *Attachment) HardwareAddr() net.HardwareAddr {
	mac, err := net.ParseMAC(a.MAC)
	if err != nil {
		return nil
	}
	return mac
}

// Key names the attachment's record and its pins: bpffs allows no dots.
func (a *Attachment) Key() string { return AttachmentKey(a.ContainerID, a.IfName) }

// AttachmentKey is the Key of the attachment of a container's interface.
func AttachmentKey(containerID, ifName string) string {
	return strings.ReplaceAll(strings.ReplaceAll(containerID+"-"+ifName, ".", "_"), "/", "_")
}

// Attachments is the folder of records under a state folder.
type Attachments struct{ dir string }

// OpenAttachments makes the folder if it is missing.
func OpenAttachments(stateDir string) (*Attachments, error) {
	dir := filepath.Join(stateDir, "pods")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	return &Attachments{dir}, nil
}

// Lock takes the lock that guards the records and the kernel's identity maps
// against other plugin runs and the agent, or says who has it when ctx ends. The
// caller must call unlock.
func (s *Attachments) Lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- flock(f) }() // who came first is served first
	select {
	case err = <-done:
	case <-ctx.Done():
		err = fmt.Errorf("%s has it: %w", holder(f), ctx.Err())
		go func() {
			<-done
			f.Close()
		}()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	sign(f)
	return func() { f.Close() }, nil
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sign tells those who wait who has the lock. The lock holds without it.
func sign(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintf(f, "process %d (%s)", os.Getpid(), filepath.Base(os.Args[0]))
	}
}

// holder is who signed last.
func holder(f *os.File) string {
	b := make([]byte, 128)
	n, _ := f.ReadAt(b, 0)
	if n == 0 {
		return "an unknown process"
	}
	return string(b[:n])
}

func (s *Attachments) path(key string) string { return filepath.Join(s.dir, key+".json") }

// Put writes a record; it is there whole or not at all.
func (s *Attachments) Put(a *Attachment) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode attachment: %w", err)
	}
	tmp := s.path(a.Key()) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write attachment: %w", err)
	}
	if err := os.Rename(tmp, s.path(a.Key())); err != nil {
		return fmt.Errorf("write attachment: %w", err)
	}
	return nil
}

// Get reads one record; fs.ErrNotExist if there is none.
func (s *Attachments) Get(key string) (*Attachment, error) {
	b, err := os.ReadFile(s.path(key))
	if err != nil {
		return nil, fmt.Errorf("read attachment: %w", err)
	}
	a := new(Attachment)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("decode attachment %s: %w", key, err)
	}
	return a, nil
}

// ReadAttachment reads one record below a state folder, making nothing;
// fs.ErrNotExist if there is none.
func ReadAttachment(stateDir, key string) (*Attachment, error) {
	return (&Attachments{filepath.Join(stateDir, "pods")}).Get(key)
}

// Delete removes a record; one that is gone already is no error.
func (s *Attachments) Delete(key string) error {
	if err := os.Remove(s.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove attachment: %w", err)
	}
	return nil
}

// List reads every record. Records that cannot be read are skipped and joined
// into the error.
func (s *Attachments) List() ([]*Attachment, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list attachments: %w", err)
	}
	var list []*Attachment
	var errs []error
	for _, e := range entries {
		key, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		a, err := s.Get(key)
		switch {
		case err == nil:
			list = append(list, a)
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	return list, errors.Join(errs...)
}
