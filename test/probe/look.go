// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// look prints what this process can see of itself and of what is around it, one thing a
// line, without what is by chance: addresses in memory, ids, counts of what has been.
func look(args []string) error {
	for _, at := range []func(server string){lookAtProcess, lookAtFiles, lookAtNetwork, lookAtSockets} {
		at(args[0])
	}
	return nil
}

// see prints what something is, or why it cannot be seen.
func see[T any](what string, is T, err error) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		return
	}
	fmt.Printf("%s: %v\n", what, is)
}

// chance are the lines of status that no two processes have alike.
var chance = regexp.MustCompile(`^(Pid|Tgid|Ngid|PPid|NS.*|Vm.*|Rss.*|Huge.*|Threads|SigQ|FDSize|.*ctxt_switches|.*_allowed.*|x86_.*|Core.*):`)

func lookAtProcess(string) {
	status, err := os.ReadFile("/proc/self/status")
	see("status", "", err)
	for line := range strings.Lines(string(status)) {
		if !chance.MatchString(line) {
			fmt.Print("status ", line)
		}
	}
	for _, name := range []string{"environ", "limits", "cgroup", "attr/current", "wchan", "oom_score_adj", "personality",
		"loginuid", "sessionid", "uid_map", "gid_map", "setgroups", "coredump_filter", "timens_offsets"} {
		b, err := os.ReadFile("/proc/self/" + name)
		see(name, fmt.Sprintf("%q", b), err)
	}
	for _, name := range []string{"cwd", "root", "exe", "ns/mnt", "ns/uts", "ns/ipc", "ns/user", "ns/cgroup", "ns/time", "ns/pid"} {
		to, err := os.Readlink("/proc/self/" + name)
		see(name, to, err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/comm")
	names := make(map[string]bool)
	for _, t := range threads {
		b, _ := os.ReadFile(t) // it may have ended
		names[string(b)] = true
	}
	see("threads", names, err)
	for name, option := range map[string]int{
		"DUMPABLE": unix.PR_GET_DUMPABLE, "KEEPCAPS": unix.PR_GET_KEEPCAPS, "SECCOMP": unix.PR_GET_SECCOMP,
		"NO_NEW_PRIVS": unix.PR_GET_NO_NEW_PRIVS, "SECUREBITS": unix.PR_GET_SECUREBITS, "TIMERSLACK": unix.PR_GET_TIMERSLACK,
		"THP_DISABLE": unix.PR_GET_THP_DISABLE, "MCE_KILL": unix.PR_MCE_KILL_GET,
		"SPECULATION": unix.PR_GET_SPECULATION_CTRL, "IO_FLUSHER": unix.PR_GET_IO_FLUSHER,
	} {
		v, err := unix.PrctlRetInt(option, 0, 0, 0, 0)
		see("prctl "+name, v, err)
	}
}

var digits = regexp.MustCompile(`[0-9]+`)

func lookAtFiles(string) {
	maps, err := os.ReadFile("/proc/self/maps")
	names := make(map[string]bool)
	for line := range strings.Lines(string(maps)) {
		if f := strings.Fields(line); len(f) > 5 {
			names[f[1]+" "+f[5]] = true
		}
	}
	see("maps", names, err)
	fds, err := os.ReadDir("/proc/self/fd")
	see("descriptors", len(fds), err)
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		see("descriptor "+fd.Name(), digits.ReplaceAllString(to, "N"), err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	see("mounts", "", err)
	for line := range strings.Lines(string(mounts)) {
		fmt.Print("mount ", line)
	}
	for _, dir := range []string{"/", "/sys/fs/bpf", "/dev", "/etc/ld.so.preload", cgroupFolder(string(mounts))} {
		entries, err := os.ReadDir(dir)
		see("folder "+dir, entries, err)
		n, err := unix.Listxattr(dir, nil)
		see("attributes of "+dir, n, err)
	}
}

// cgroupFolder is where this process's cgroup of version 2 is seen.
func cgroupFolder(mounts string) string {
	b, _ := os.ReadFile("/proc/self/cgroup") // shown as it is before
	_, path, _ := strings.Cut("\n"+string(b), "\n0::")
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); strings.Contains(line, " - cgroup2 ") {
			return f[4] + strings.TrimSpace(path)
		}
	}
	return "none"
}

func lookAtNetwork(string) {
	interfaces, err := net.Interfaces()
	see("interfaces", len(interfaces), err)
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		see(fmt.Sprint("interface ", i.Index, " ", i.Name, " mtu ", i.MTU, " ", i.Flags), addresses, err)
		for name, hook := range map[string]uint32{"ingress": unix.BPF_TCX_INGRESS, "egress": unix.BPF_TCX_EGRESS} {
			n, err := attached(uint32(i.Index), hook)
			see("programs on "+i.Name+", "+name, n, err)
		}
	}
	lookAtQueues()
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet", "unix", "route", "igmp", "ptype", "ip_tables_names", "ip6_tables_names"} {
		b, err := os.ReadFile("/proc/self/net/" + name)
		see("net/"+name, fmt.Sprintf("%q", b), err)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		err := filepath.WalkDir("/proc/sys/net/"+family, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				b, err := os.ReadFile(path)
				see(path, fmt.Sprintf("%q", b), err)
			}
			return err
		})
		see("settings", family, err)
	}
}

// lookAtSockets has a connection of each kind to a server.
func lookAtSockets(server string) {
	for _, network := range []string{"udp", "tcp"} {
		conn, err := net.DialTimeout(network, server, defaultTimeout())
		see(network, "", err)
		if err != nil {
			continue
		}
		see(network+" peer", conn.RemoteAddr(), echo(conn, 1, defaultTimeout()))
		lookAtOptions(network, conn)
		conn.Close()
	}
}

// chancy are the options of sockets that no two have alike: cookies, processors, times.
var chancy = []int{unix.SO_COOKIE, unix.SO_NETNS_COOKIE, unix.SO_INCOMING_CPU, unix.SO_INCOMING_NAPI_ID, unix.SO_MEMINFO}

func lookAtOptions(network string, conn net.Conn) {
	raw, err := conn.(interface {
		SyscallConn() (syscall.RawConn, error)
	}).SyscallConn()
	if err != nil {
		see(network, "", err)
		return
	}
	raw.Control(func(fd uintptr) {
		for level, last := range map[int]int{unix.SOL_SOCKET: 90, unix.SOL_IP: 52} {
			for option := range last {
				if level == unix.SOL_SOCKET && slices.Contains(chancy, option) {
					continue
				}
				value, err := unix.GetsockoptString(int(fd), level, option)
				see(fmt.Sprint(network, " option ", level, "/", option), fmt.Sprintf("%q", value), err)
			}
		}
	})
}
