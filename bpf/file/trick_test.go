// SPDX-License-Identifier: Apache-2.0

package file

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// first is then, if there was no error before it.
func first(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

func cat(path string) error { return show(os.ReadFile(path)) }

// catAt prints what lies below an open folder.
func catAt(dir int, path string) error {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY, 0)
	return first(err, func() error { return catFD(fd) })
}

func catFD(fd int) error {
	b := make([]byte, len(content))
	_, err := unix.Pread(fd, b, 0)
	return show(b, err)
}

func bind(from, to string) error { return unix.Mount(from, to, "", unix.MS_BIND, "") }

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// loader is what the kernel starts a program by.
func loader(t *testing.T, program string) string {
	t.Helper()
	f, err := elf.Open(program)
	must(t, err)
	defer f.Close()
	b, err := f.Section(".interp").Data()
	must(t, err)
	path, err := filepath.EvalSymlinks(strings.TrimRight(string(b), "\x00"))
	must(t, err)
	return path
}

// race opens a link while it points now here, now there, until it was there.
func race(s stage) error {
	var over atomic.Bool
	defer over.Store(true)
	if err := os.Symlink(s.free("file"), s.free("link")); err != nil {
		return err
	}
	go func() {
		for i := 0; !over.Load(); i++ {
			to := []string{s.secret("file"), s.free("file")}[i%2]
			if os.Symlink(to, s.free("next")) == nil {
				os.Rename(s.free("next"), s.free("link"))
			}
		}
	}()
	refused := 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && refused < 3; {
		b, err := os.ReadFile(s.free("link"))
		if string(b) == content {
			return show(b, nil)
		}
		if errors.Is(err, syscall.EPERM) {
			refused++
		}
	}
	return syscall.EPERM
}

func openat2(s stage) error {
	dir, err := unix.Open(string(s.place), unix.O_PATH, 0)
	return first(err, func() error {
		fd, err := unix.Openat2(dir, "/secret/file", &unix.OpenHow{Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS})
		return first(err, func() error { return catFD(fd) })
	})
}

func linkPath(s stage) error {
	fd, err := unix.Open(s.secret("file"), unix.O_PATH, 0)
	return first(err, func() error {
		err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, s.free("new"), unix.AT_SYMLINK_FOLLOW)
		return first(err, func() error { return cat(s.free("new")) })
	})
}

func reopen(s stage) error {
	fd, err := unix.Open(s.secret("file"), unix.O_PATH, 0)
	return first(err, func() error { return cat("/proc/self/fd/" + strconv.Itoa(fd)) })
}

func unmounted(s stage) error {
	dir, err := unix.Open(string(s.place), unix.O_PATH, 0)
	return first(err, func() error {
		return first(unix.Unmount(string(s.place), unix.MNT_DETACH), func() error { return catAt(dir, "secret/file") })
	})
}

// handle opens the file by its handle, on a mount.
func handle(s stage, on string) error {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, s.secret("file"), 0)
	return first(err, func() error {
		mount, err := unix.Open(on, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		return first(err, func() error {
			fd, err := unix.OpenByHandleAt(mount, h, unix.O_RDONLY)
			return first(err, func() error { return catFD(fd) })
		})
	})
}

func detached(s stage) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, s.secret(""), unix.OPEN_TREE_CLONE)
	return first(err, func() error { return catAt(fd, "file") })
}

// overlaid mounts an overlay of the attacker's own, whose layer is the folder.
func overlaid(s stage, options string) error {
	other := s.path("other")
	err := unix.Mount("tmpfs", other, "tmpfs", 0, "")
	for _, dir := range []string{"upper", "work", "root"} {
		err = first(err, func() error { return os.Mkdir(filepath.Join(other, dir), 0o755) })
	}
	return first(err, func() error {
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work%s", s.secret(""), other, other, options)
		return first(unix.Mount("overlay", other+"/root", "overlay", 0, options), func() error { return cat(other + "/root/file") })
	})
}

// steps are what again does.
var steps = map[string]func(stage) error{
	"bind": func(s stage) error {
		return first(bind(s.secret(""), s.free("folder")), func() error { return cat(s.free("folder/file")) })
	},
	"overlay": func(s stage) error { return overlaid(s, ",userxattr") },
}

// again takes a step as `unshare -Urm` has it.
func again(s stage, step string) error {
	const user = 1000
	cmd := exec.Command("/proc/self/exe", s.args()...)
	cmd.Env = append(os.Environ(), trickEnv+"=again "+step)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 0, Gid: 0},
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: user, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: user, Size: 1}},
	}
	return cmd.Run()
}

// deep makes a file below the folder, and reads it step by step: no path of the
// kernel's leads there in one.
func deep(s stage, levels, length int) error {
	name := strings.Repeat("d", length)
	err := os.Chdir(s.secret(""))
	for range levels {
		err = first(err, func() error {
			return first(os.Mkdir(name, 0o755), func() error { return os.Chdir(name) })
		})
	}
	return first(err, func() error {
		return first(os.WriteFile("file", []byte(content), 0o644), func() error { return cat("file") })
	})
}

func sendfile(s stage) error {
	fd, err := unix.Open(s.secret("file"), unix.O_RDONLY, 0)
	return first(err, func() error {
		_, err := unix.Sendfile(1, fd, nil, len(content))
		return err
	})
}

func mapped(s stage) error {
	fd, err := unix.Open(s.secret("file"), unix.O_RDONLY, 0)
	return first(err, func() error { return show(unix.Mmap(fd, 0, len(content), unix.PROT_READ, unix.MAP_SHARED)) })
}

func passed(stage) error {
	b, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(3, b, control, 0)
	return first(err, func() error {
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil || len(messages) == 0 {
			return errors.Join(err, errors.New("nothing passed"))
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		return first(err, func() error { return catFD(fds[0]) })
	})
}

func taken(s stage) error {
	pidfd, err := unix.PidfdOpen(s.helper, 0)
	return first(err, func() error {
		fd, err := unix.PidfdGetfd(pidfd, s.fd, 0)
		return first(err, func() error { return catFD(fd) })
	})
}

// int80 runs a program of 64 bits that opens, reads and writes by the calls of 32 bits.
func int80(s stage) error {
	const base, header = 0x400000, 0x78
	path := s.secret("file") + "\x00"
	code := []byte{
		0xb8, 5, 0, 0, 0, // mov eax, open
		0xbb, 0, 0, 0, 0, // mov ebx, path
		0x31, 0xc9, // xor ecx, ecx
		0x31, 0xd2, // xor edx, edx
		0xcd, 0x80,
		0x89, 0xc3, // mov ebx, eax
		0xb8, 3, 0, 0, 0, // mov eax, read
		0xb9, 0, 0, 0, 0, // mov ecx, buffer
		0xba, byte(len(content)), 0, 0, 0,
		0xcd, 0x80,
		0x89, 0xc2, // mov edx, eax
		0xb8, 4, 0, 0, 0, // mov eax, write
		0xbb, 1, 0, 0, 0,
		0xcd, 0x80,
		0xb8, 1, 0, 0, 0, // mov eax, exit
		0x31, 0xdb,
		0xcd, 0x80,
	}
	end := uint32(base + header + len(code))
	binary.LittleEndian.PutUint32(code[6:], end)
	binary.LittleEndian.PutUint32(code[24:], end+uint32(len(path)))
	size := uint64(header + len(code) + len(path) + len(content))
	var b []byte
	b = append(b, "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	for _, v := range []any{
		uint16(elf.ET_EXEC), uint16(elf.EM_X86_64), uint32(1), uint64(base + header), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(elf.PT_LOAD), uint32(elf.PF_R | elf.PF_W | elf.PF_X), uint64(0), uint64(base), uint64(base), size, size, uint64(4096),
	} {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	b = append(append(append(b, code...), path...), make([]byte, len(content))...)
	return first(os.WriteFile(s.path("program"), b, 0o755), func() error { return run(s.path("program")) })
}

// uring opens the file by a ring of one entry.
func uring(s stage) error {
	const entries, opOpenat, sqesAt = 1, 18, 0x10000000
	var p struct {
		SQEntries, CQEntries, Flags, SQCPU, SQIdle, Features, WQ uint32
		_                                                        [3]uint32
		SQ                                                       struct {
			Head, Tail, Mask, Entries, Flags, Dropped, Array, _ uint32
			_                                                   uint64
		}
		CQ struct {
			Head, Tail, Mask, Entries, Overflow, CQEs, Flags, _ uint32
			_                                                   uint64
		}
	}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, entries, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return errno
	}
	ring, err := unix.Mmap(int(fd), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	sqes, err := unix.Mmap(int(fd), sqesAt, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	path, err := unix.BytePtrFromString(s.secret("file"))
	if err != nil {
		return err
	}
	cwd := int32(unix.AT_FDCWD)
	sqes[0] = opOpenat
	sqes[1] = 1 << 4 // IOSQE_ASYNC: by a worker
	binary.LittleEndian.PutUint32(sqes[4:], uint32(cwd))
	binary.LittleEndian.PutUint64(sqes[16:], uint64(uintptr(unsafe.Pointer(path))))
	binary.LittleEndian.PutUint32(ring[p.SQ.Tail:], 1)
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, fd, 1, 1, 1 /* GETEVENTS */, 0, 0); errno != 0 {
		return errno
	}
	if res := int32(binary.LittleEndian.Uint32(ring[p.CQ.CQEs+8:])); res < 0 {
		return syscall.Errno(-res)
	} else {
		return catFD(int(res))
	}
}
