// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// talk is what this program is inside a pod: one end of a connection. Sockets
// block, and the Go runtime has no part in waiting for them.
//
//	server ADDR:PORT   echoes one connection after the other, on serverPorts ports from PORT
//	client ADDR:PORT   for each line "rr N" or "crr N": the ns that N exchanges took,
//	                   after N/4 that are not counted
func talk(args []string) error {
	if len(args) != 2 {
		return errors.New("say server or client, and an address")
	}
	at, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	to := &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	if args[0] == "server" {
		return serveAll(to)
	}
	if err := widenPorts(); err != nil {
		return err
	}
	fmt.Println("ready")
	first := to.Port
	in := bufio.NewReader(os.Stdin)
	for i := 0; ; i++ {
		var what string
		var n int
		if _, err := fmt.Fscanln(in, &what, &n); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		to.Port = first + i%serverPorts
		_, err := exchange(to, what == "crr", n/4)
		var took time.Duration
		if err == nil {
			took, err = exchange(to, what == "crr", n)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		fmt.Println(took.Nanoseconds())
	}
}

// serverPorts are as many as keep a run's connections apart, see widenPorts.
const serverPorts = 4

// widenPorts gives the pod all the ports that there are: each connection of a run keeps
// its own for a minute, for one port of the server's. As they grow scarce, the kernel's
// search for one comes to cost more than the connection.
func widenPorts() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("1024 65535"), 0); err != nil {
		return fmt.Errorf("widen the range of ports: %w", err)
	}
	return nil
}

func tcpSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return fd, err
}

// serveAll serves on serverPorts ports, one connection at a time on each.
func serveAll(at *unix.SockaddrInet4) error {
	failed := make(chan error)
	for i := range serverPorts {
		l, err := listen(&unix.SockaddrInet4{Addr: at.Addr, Port: at.Port + i})
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		go func() { failed <- serve(l) }()
	}
	fmt.Println("ready")
	return <-failed
}

func listen(at *unix.SockaddrInet4) (int, error) {
	l, err := tcpSocket()
	if err == nil {
		err = unix.Bind(l, at)
	}
	if err == nil {
		err = unix.Listen(l, 16)
	}
	return l, err
}

func serve(l int) error {
	b := make([]byte, 16)
	for {
		fd, _, err := unix.Accept(l)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		for {
			n, err := again(func() (int, error) { return unix.Read(fd, b) })
			if err != nil || n == 0 {
				break
			}
			if _, err := unix.Write(fd, b[:n]); err != nil {
				break
			}
		}
		unix.Close(fd)
	}
}

// exchange sends one byte and reads it back, n times, each over a connection of its
// own if crr.
func exchange(to *unix.SockaddrInet4, crr bool, n int) (time.Duration, error) {
	fd := -1
	var err error
	defer func() { unix.Close(fd) }()
	b := []byte{1}
	begin := time.Now()
	for i := range n {
		if i == 0 || crr {
			unix.Close(fd)
			if fd, err = dial(to); err != nil {
				return 0, err
			}
		}
		if _, err := unix.Write(fd, b); err != nil {
			return 0, fmt.Errorf("write: %w", err)
		}
		got, err := again(func() (int, error) { return unix.Read(fd, b) })
		if err != nil || got != 1 {
			return 0, fmt.Errorf("read: %d bytes, %w", got, err)
		}
	}
	return time.Since(begin), nil
}

func dial(to *unix.SockaddrInet4) (int, error) {
	fd, err := tcpSocket()
	if err != nil {
		return -1, fmt.Errorf("make socket: %w", err)
	}
	if err := unix.Connect(fd, to); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// again repeats what a signal interrupts: the Go runtime sends them.
func again(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
