// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// defaultTimeout is how long to wait where no option says: PROBE_TIMEOUT, or a second.
func defaultTimeout() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("PROBE_TIMEOUT")); err == nil {
		return d
	}
	return time.Second
}

// parse reads options that may stand after the arguments, and returns these.
func parse(options *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		if err := options.Parse(args); err != nil {
			return nil, err
		}
		if options.NArg() == 0 {
			break
		}
		rest = append(rest, options.Arg(0))
		args = options.Args()[1:]
	}
	return rest, nil
}

// serve echoes until it is killed, datagrams after a time. It listens before it
// says so.
func serve(args []string) error {
	options := flag.NewFlagSet("serve", flag.ContinueOnError)
	after := options.Duration("after", 0, "")
	args, err := parse(options, args)
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	if args[0] == "udp" {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return err
		}
		fmt.Println("ready")
		b := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return err
			}
			time.Sleep(*after)
			conn.WriteToUDPAddrPort(b[:n], from) // a client that is gone is no failure
		}
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(conn, conn)
			conn.Close()
		}()
	}
}

func dial(args []string) error {
	options := flag.NewFlagSet("dial", flag.ContinueOnError)
	timeout := options.Duration("timeout", defaultTimeout(), "")
	port := options.Uint("from-port", 0, "")
	unconnected := options.Bool("unconnected", false, "")
	size := options.Int("size", len("probe"), "")
	args, err := parse(options, args)
	if err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	if *unconnected {
		return sendTo(to, *timeout)
	}
	conn, err := connect(args[0], to, uint16(*port), *timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(make([]byte, *size)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, *size)); err != nil {
		return err
	}
	fmt.Println("ok")
	return nil
}

// connect returns a connection whose deadline is the timeout from now.
func connect(network string, to netip.AddrPort, fromPort uint16, timeout time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(timeout)
	d := net.Dialer{Deadline: deadline}
	if fromPort != 0 && network == "udp" {
		d.LocalAddr = &net.UDPAddr{Port: int(fromPort)}
	} else if fromPort != 0 {
		d.LocalAddr = &net.TCPAddr{Port: int(fromPort)}
		// The port may have a connection in TIME_WAIT.
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			c.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
			})
			return err
		}
	}
	conn, err := d.Dial(network, to.String())
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(deadline)
}

// sendTo sends from a socket that is not connected: sendto(2).
func sendTo(to netip.AddrPort, timeout time.Duration) error {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	if _, err := conn.WriteToUDPAddrPort([]byte("probe"), to); err != nil {
		return err
	}
	if _, _, err := conn.ReadFromUDPAddrPort(make([]byte, 16)); err != nil {
		return err
	}
	fmt.Println("ok")
	return nil
}

func ping(args []string) error {
	options := flag.NewFlagSet("ping", flag.ContinueOnError)
	timeout := options.Duration("timeout", defaultTimeout(), "")
	args, err := parse(options, args)
	if err != nil {
		return err
	}
	to, err := netip.ParseAddr(args[0])
	if err != nil {
		return err
	}
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	conn, err := net.DialIP(network, nil, &net.IPAddr{IP: to.AsSlice()})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(*timeout))
	message := []byte{request, 0, 0, 0, 0, 0, 0, 1, 'p', 'r', 'o', 'b'}
	binary.BigEndian.PutUint16(message[4:], uint16(os.Getpid()))
	binary.BigEndian.PutUint16(message[2:], checksum(message)) // the kernel writes that of ICMPv6
	if _, err := conn.Write(message); err != nil {
		return err
	}
	for b := make([]byte, 1500); ; {
		n, _, err := conn.ReadFromIP(b) // Read would give the IPv4 header too
		if err != nil {
			return err
		}
		if n >= 8 && b[0] == reply && [4]byte(b[4:8]) == [4]byte(message[4:8]) {
			fmt.Println("ok")
			return nil
		}
	}
}

// checksum is the Internet checksum of b, whose length is even.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

const streamPause = 5 * time.Millisecond

// stream sends numbered messages over one connection, each once the one before is
// echoed, until SIGTERM. It says "ready" once the first came back, and "lost" of
// each that did not in time.
func stream(args []string) error {
	options := flag.NewFlagSet("stream", flag.ContinueOnError)
	wait := options.Duration("wait", 3*time.Second, "") // far longer than a busy machine needs
	args, err := parse(options, args)
	if err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := connect(args[0], to, 0, *wait)
	if err != nil {
		return err
	}
	defer conn.Close()
	var sent, lost uint64
	var gap time.Duration
	for ctx.Err() == nil {
		start := time.Now()
		sent++
		err := echo(conn, sent, *wait)
		switch {
		case timedOut(err):
			lost++
			fmt.Println("lost")
		case err != nil:
			return fmt.Errorf("message %d: %w", sent, err)
		case sent == 1:
			fmt.Println("ready")
		}
		gap = max(gap, time.Since(start))
		select {
		case <-ctx.Done():
		case <-time.After(streamPause):
		}
	}
	fmt.Printf("sent %d lost %d longest-gap %s\n", sent, lost, gap.Round(time.Microsecond))
	if lost > 0 {
		return errors.New("messages were lost")
	}
	return nil
}

// echo sends a number and reads until it comes back; older ones may come first.
func echo(conn net.Conn, n uint64, wait time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint64(nil, n)
	if _, err := conn.Write(b); err != nil {
		return err
	}
	for {
		if _, err := io.ReadFull(conn, b); err != nil {
			return err
		}
		if binary.BigEndian.Uint64(b) == n {
			return nil
		}
	}
}
