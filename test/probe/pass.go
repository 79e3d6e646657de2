// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// passUnconnected gives a socket to a program that then connects it.
func passUnconnected(args []string) error {
	t, err := newTarget(args[1], args[2])
	if err != nil {
		return err
	}
	fd, err := t.socket()
	if err != nil {
		return err
	}
	return pass(fd, args[0], "connect", args[2])
}

// passConnected gives a connected socket to a program that then uses it.
func passConnected(args []string) error {
	t, err := newTarget(args[1], args[2])
	if err != nil {
		return err
	}
	fd, err := t.socket()
	if err != nil {
		return err
	}
	still()
	if e := rawConnect(fd, t); e != 0 {
		return os.NewSyscallError("connect", e)
	}
	return pass(fd, args[0], "use", args[2])
}

// pass starts a copy of the probe, sends it fd by SCM_RIGHTS and exits as it does.
func pass(fd int, path, how, address string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "pair")
	cmd := exec.Command(path, "receive", how, address)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return fmt.Errorf("pass socket: %v", err)
	}
	unix.Close(fd) // the receiver alone has it
	if err := cmd.Wait(); cmd.ProcessState == nil {
		return err
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

// receive is the other side of pass; descriptor 3 is the pair.
func receive(args []string) error {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(3, make([]byte, 1), oob, 0)
	if err != nil {
		return fmt.Errorf("receive socket: %v", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("receive socket: %d messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("receive socket: %d descriptors, %v", len(fds), err)
	}
	still()
	if args[0] == "connect" {
		t, err := newTarget("", args[1])
		if err != nil {
			return err
		}
		if e := rawConnect(fds[0], t); e != 0 {
			return os.NewSyscallError("connect", e)
		}
	}
	if args[0] == "connect" {
		return say(rawEcho(fds[0]))
	}
	return useSocket(fds[0])
}

// useSocket uses a socket some times: what the first use shows may pass.
func useSocket(fd int) error {
	for range 2 {
		if e := rawEcho(fd); e != 0 {
			return say(e)
		}
	}
	return say(rawEcho(fd))
}

// inherit connects a socket and executes a program that goes on to use it.
func inherit(args []string) error {
	t, err := newTarget(args[1], args[2])
	if err != nil {
		return err
	}
	fd, err := t.socket()
	if err != nil {
		return err
	}
	still()
	if e := rawConnect(fd, t); e != 0 {
		return os.NewSyscallError("connect", e)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	return execute([]string{args[0], "use-fd", strconv.Itoa(fd)})
}

func useFD(args []string) error {
	fd, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	still()
	return useSocket(fd)
}

// serveBy accepts connections and has another program answer each.
func serveBy(args []string) error {
	l, err := net.Listen("tcp", args[1])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		f, err := conn.(*net.TCPConn).File()
		if err != nil {
			return err
		}
		cmd := exec.Command(args[0], "echo-fd", "3")
		cmd.ExtraFiles = []*os.File{f}
		if err := cmd.Start(); err != nil {
			return err
		}
		f.Close()
		conn.Close()
		go cmd.Wait() // its failure is the client's to see
	}
}

func echoFD(args []string) error {
	fd, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	conn, err := net.FileConn(os.NewFile(uintptr(fd), "conn"))
	if err != nil {
		return err
	}
	_, err = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}) // no splice: it receives unseen
	return err
}

// packetSend writes a UDP datagram to the wire below the socket hooks, as a
// broadcast frame, and waits for the echo at a socket that is only bound.
func packetSend(args []string) error {
	from, err := net.ResolveUDPAddr("udp4", args[1])
	if err != nil {
		return err
	}
	to, err := net.ResolveUDPAddr("udp4", args[2])
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp4", from)
	if err != nil {
		return err
	}
	defer conn.Close()
	dev, err := net.InterfaceByName(args[0])
	if err != nil {
		return err
	}
	const protocol = uint16(unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8) // network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		return fmt.Errorf("open packet socket: %v", err)
	}
	defer unix.Close(fd)
	link := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: dev.Index, Halen: 6,
		Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	if err := unix.Sendto(fd, datagram(from, to), 0, link); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	if err := conn.SetReadDeadline(deadline()); err != nil {
		return err
	}
	n, _, err := conn.ReadFromUDP(make([]byte, 16))
	if err == nil && n != len("probe") {
		err = errors.New("another echo")
	}
	if err == nil {
		fmt.Println("ok")
	}
	return err
}
