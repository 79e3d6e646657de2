// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// chat sends without pause over one connection and hears what the other end sends,
// each for itself, until it is killed: what an end hears shows one direction alone.
// It says "ready" when it hears something, first or again, and "lost" as often as it
// has heard nothing for so long.
func chat(args []string) error {
	options := flag.NewFlagSet("chat", flag.ContinueOnError)
	listen := options.Bool("listen", false, "")
	quiet := options.Bool("quiet", false, "") // after the first message
	wait := options.Duration("wait", time.Second, "")
	args, err := parse(options, args)
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	conn, err := partner(args[0], at, *listen)
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		for first := true; first || !*quiet; first = false {
			conn.Write([]byte("probe")) // the other end says whether it arrived
			time.Sleep(streamPause)
		}
	}()
	return hear(conn, *wait)
}

func hear(conn net.Conn, wait time.Duration) error {
	b := make([]byte, 65536)
	for ready := false; ; {
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		_, err := conn.Read(b)
		switch {
		case timedOut(err):
			fmt.Println("lost")
			ready = false
		case errors.Is(err, syscall.ECONNREFUSED): // an ICMP error is no message
		case err != nil:
			return err
		case !ready:
			fmt.Println("ready")
			ready = true
		}
	}
}

// partner is a connection to an address, or with the first who calls there.
func partner(network string, at netip.AddrPort, listen bool) (net.Conn, error) {
	if !listen {
		return connect(network, at, 0, defaultTimeout())
	}
	if network == "udp" {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return nil, err
		}
		fmt.Println("listening")
		return &called{UDPConn: conn}, nil
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	fmt.Println("listening")
	defer listener.Close()
	return listener.Accept()
}

// called is a UDP socket that speaks to whom it has heard last.
type called struct {
	*net.UDPConn
	from atomic.Pointer[netip.AddrPort]
}

func (c *called) Read(b []byte) (int, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err == nil {
		c.from.Store(&from)
	}
	return n, err
}

func (c *called) Write(b []byte) (int, error) {
	if from := c.from.Load(); from != nil {
		return c.WriteToUDPAddrPort(b, *from)
	}
	return 0, nil
}
