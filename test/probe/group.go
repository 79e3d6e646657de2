// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// serveGroup answers with the program's name on a port that it shares with others
// (SO_REUSEPORT), and says "asked" whenever it is.
func serveGroup(args []string) error {
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return err
	}}
	name := []byte(filepath.Base(os.Args[0]))
	if args[0] == "udp" {
		conn, err := shared.ListenPacket(context.Background(), "udp", args[1])
		if err != nil {
			return err
		}
		fmt.Println("ready")
		for b := make([]byte, 64); ; {
			_, from, err := conn.ReadFrom(b)
			if err != nil {
				return err
			}
			fmt.Println("asked")
			conn.WriteTo(name, from) // a client that is gone is no failure
		}
	}
	listener, err := shared.Listen(context.Background(), "tcp", args[1])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		if n, _ := conn.Read(make([]byte, 64)); n > 0 {
			fmt.Println("asked")
			conn.Write(name)
		}
		conn.Close()
	}
}

// ask says who of a group answers.
func ask(args []string) error {
	to, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	conn, err := connect(args[0], to, 0, defaultTimeout())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("who")); err != nil {
		return err
	}
	b := make([]byte, 64)
	n, err := conn.Read(b)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", b[:n])
	return nil
}
