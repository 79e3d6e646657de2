// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/bpf/state"
)

// Container is a container that the kernel saw begin.
type Container struct {
	ID        uint64 // cgroup id
	Slot, Pod uint32
	pid       uint32 // of its first process
	mntNS     uint32
	root      uint64 // id of the mount that is its root
	lastMount uint64
	start     uint64 // just before it began; CLOCK_REALTIME, ns; 0: on the node's own files
}

// Begun names this life of a container: cgroup ids are used again.
func (c *Container) Begun() string { return fmt.Sprintf("%d-%d-%d", c.ID, c.start, c.lastMount) }

// OwnFiles says whether the container has a mount namespace of its own, so that
// what changed since its start was changed by it.
func (c *Container) OwnFiles() bool { return c.start != 0 }

// Containers lists the containers that the kernel knows.
func (d *Datapath) Containers() ([]Container, error) {
	var id uint64
	var c state.RawContainer
	var list []Container
	it := d.state.Containers.Iterate()
	for it.Next(&id, &c) {
		list = append(list, Container{ID: id, Slot: c.Slot, Pod: c.Pod, pid: c.Pid, mntNS: c.MntNs, root: c.Root, lastMount: c.LastMount, start: c.Start})
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	return list, nil
}

// Resolution is what a path leads to inside a container. File is zero if there is
// nothing, or nothing that the container began with.
type Resolution struct {
	File File
	Path string // with symlinks resolved, inside the container
	Why  string // why File is zero
	// Changed is when the file was changed last; CLOCK_REALTIME, ns.
	Changed uint64
}

// ErrGone says that a container has no process left through which its files could
// be reached.
var ErrGone = errors.New("no process of the container is left")

// Resolver looks paths up inside one container. The caller must Close it.
type Resolver struct {
	container Container
	root      int
	noScripts error
}

// OpenContainer reaches a container's root through one of its processes.
func (d *Datapath) OpenContainer(c Container, cgroup string) (*Resolver, error) {
	pids := append([]string{strconv.Itoa(int(c.pid))}, procs(cgroup)...)
	for _, pid := range pids {
		ns, err := os.Readlink("/proc/" + pid + "/ns/mnt")
		if err != nil || ns != fmt.Sprintf("mnt:[%d]", c.mntNS) {
			continue
		}
		root, err := unix.Open("/proc/"+pid+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if c.beganAt(root) {
			return &Resolver{c, root, d.noScripts}, nil
		}
		unix.Close(root)
	}
	return nil, ErrGone
}

// beganAt says whether a process's root is the container's: the root of the mount that
// the kernel noted when it began. Another mount, or a folder of this one, is of the pod's
// choice. Where mounts have no unique ids (before 6.8) both sides have the other kind.
func (c *Container) beganAt(root int) bool {
	var st unix.Statx_t
	if err := unix.Statx(root, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID_UNIQUE, &st); err != nil {
		return false
	}
	return st.Mnt_id == c.root && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// Close lets go of the container's root.
func (r *Resolver) Close() error { return unix.Close(r.root) }

// Resolve follows path from the container's root. What the pod put in the way is
// not the container's: a mount made after it began, or a link or file changed since.
func (r *Resolver) Resolve(path string) Resolution {
	if err := r.links(path); err != nil {
		return Resolution{Why: err.Error()}
	}
	fd, err := unix.Openat2(r.root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return Resolution{Why: fmt.Sprintf("%s: %v", path, err)}
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	const mask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID_UNIQUE
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, mask, &st); err != nil {
		return Resolution{Why: fmt.Sprintf("stat %s: %v", path, err)}
	}
	switch c := &r.container; {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return Resolution{Why: path + " is not a regular file"}
	case c.lastMount != 0 && st.Mask&unix.STATX_MNT_ID_UNIQUE != 0 && st.Mnt_id > c.lastMount:
		return Resolution{Why: path + " lies on a mount made after the container began"}
	case c.changed(st.Ctime):
		return Resolution{Why: path + " was made or changed after the container began"}
	}
	if r.noScripts != nil && isScript(fd) {
		return Resolution{Why: fmt.Sprintf("%s is a script, and this node cannot tell it from its interpreter: %v", path, r.noScripts)}
	}
	return Resolution{Path: pathOf(fd, path), File: r.file(&st), Changed: changed(st.Ctime)}
}

// changed says whether a ctime is later than the container's start.
func (c *Container) changed(t unix.StatxTimestamp) bool {
	return c.start != 0 && changed(t) > c.start
}

// maxLinks is the kernel's own limit of symlinks in one path (MAXSYMLINKS).
const maxLinks = 40

// links looks at every symlink that path goes through: none may be newer than the
// container.
func (r *Resolver) links(path string) error {
	if !r.container.OwnFiles() {
		return nil
	}
	rest, done := strings.Split(path, "/"), "/"
	for links := 0; len(rest) > 0; {
		next := filepath.Join(done, rest[0])
		rest = rest[1:]
		to, err := r.readLink(next)
		if err != nil {
			return err
		}
		if to == "" {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("%s: too many symlinks", path)
		}
		if filepath.IsAbs(to) {
			done = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return nil
}

// readLink reads a symlink whose folder has none in its path; "" if it is none.
func (r *Resolver) readLink(path string) (string, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_IN_ROOT}
	fd, err := unix.Openat2(r.root, path, &how)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", nil
	}
	if r.container.changed(st.Ctime) {
		return "", fmt.Errorf("%s, a symlink, was made or changed after the container began", path)
	}
	to := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", to)
	if err != nil {
		return "", fmt.Errorf("read symlink %s: %w", path, err)
	}
	return string(to[:n]), nil
}

// isScript says whether an O_PATH descriptor is of a file that an interpreter runs.
func isScript(fd int) bool {
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 2)
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == "#!"
}

// procs lists the processes of a cgroup.
func procs(cgroup string) []string {
	if cgroup == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// kernfsHandle is FILEID_KERNFS (include/linux/exportfs.h).
const kernfsHandle = 0xfe

// CgroupPath finds the folder of a cgroup v2 id under root, fs.ErrNotExist if it
// is gone.
func CgroupPath(root string, id uint64) (string, error) {
	mount, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open cgroup root: %w", err)
	}
	defer unix.Close(mount)
	var b [8]byte
	for i := range b {
		b[i] = byte(id >> (8 * i))
	}
	fd, err := unix.OpenByHandleAt(mount, unix.NewFileHandle(kernfsHandle, b[:]), unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("find cgroup %d: %w", id, errors.Join(err, fs.ErrNotExist))
	}
	defer unix.Close(fd)
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", fmt.Errorf("find cgroup %d: %w", id, err)
	}
	return path, nil
}

// CgroupTree lists the ids of a cgroup and all below it: inode numbers of their
// folders.
func CgroupTree(path string) ([]uint64, error) {
	var ids []uint64
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil {
			return fmt.Errorf("stat cgroup %s: %w", p, err)
		}
		ids = append(ids, st.Ino)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list cgroups: %w", err)
	}
	return ids, nil
}
