// SPDX-License-Identifier: Apache-2.0

// Command probe is what runs inside pods in tests and in the demo: server, client
// and attacker in one static binary. `probe` alone lists what it can do.
//
// It exits with 0 if it did that, 13 if the kernel refused it with EPERM, 2 if
// nothing came back in time, 77 if this machine cannot do it, else with 1.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
)

// The exit statuses; tests know them by these numbers.
const (
	exitOK      = 0
	exitFailed  = 1
	exitTimeout = 2
	exitEPERM   = 13
	exitCannot  = 77
)

// errCannot is wrapped by errors about what this machine cannot do.
var errCannot = errors.New("not possible here")

// action is one thing that the probe does; its arguments are counted.
type action struct {
	usage   string
	atLeast int
	do      func(args []string) error
}

func actions() map[string]action {
	return map[string]action{
		"serve":              {"tcp|udp ADDR:PORT [--after D]", 2, serve},
		"serve-group":        {"tcp|udp ADDR:PORT", 2, serveGroup},
		"serve-by":           {"PATH ADDR:PORT", 2, serveBy},
		"echo-fd":            {"FD", 1, echoFD},
		"ask":                {"tcp|udp ADDR:PORT", 2, ask},
		"chat":               {"tcp|udp ADDR:PORT [--listen] [--quiet] [--wait D]", 2, chat},
		"dial":               {"tcp|udp ADDR:PORT [--timeout D] [--from-port N] [--unconnected] [--size N]", 2, dial},
		"ping":               {"ADDR [--timeout D]", 1, ping},
		"stream":             {"tcp|udp ADDR:PORT [--wait D]", 2, stream},
		"touch":              {"FILE", 1, touch},
		"chown":              {"FILE [N]", 1, chown},
		"use":                {"OPERATION FILE TRACE", 3, use},
		"sleep":              {"D", 1, sleep},
		"look":               {"ADDR:PORT", 1, look},
		"exec":               {"PATH [ARG…]", 1, execute},
		"thread-exec":        {"PATH [ARG…]", 1, threadExec},
		"fd-exec":            {"PATH [ARG…]", 1, fdExec},
		"argv0":              {"NAME PATH [ARG…]", 2, argv0},
		"comm":               {"NAME ACTION [ARG…]", 2, comm},
		"fork-dial":          {"tcp|udp ADDR:PORT", 2, forkDial},
		"thread-dial":        {"tcp|udp ADDR:PORT", 2, threadDial},
		"fastopen-dial":      {"ADDR:PORT", 1, fastOpenDial},
		"int80-dial":         {"tcp|udp ADDR:PORT", 2, int80Dial},
		"uring-dial":         {"ADDR:PORT", 1, uringDial},
		"nsenter-dial":       {"NETNS tcp|udp ADDR:PORT", 3, nsenterDial},
		"pass-unconnected":   {"PATH tcp|udp ADDR:PORT", 3, passUnconnected},
		"pass-connected":     {"PATH tcp|udp ADDR:PORT", 3, passConnected},
		"inherit":            {"PATH tcp|udp ADDR:PORT", 3, inherit},
		"use-fd":             {"FD", 1, useFD},
		"receive":            {"connect|use ADDR:PORT", 2, receive},
		"packet-send":        {"INTERFACE SOURCE:PORT ADDR:PORT", 3, packetSend},
		"bind-over":          {"PATH ARG…", 2, bindOver},
		"copy-exec":          {"PATH ARG…", 2, copyExec},
		"unshare-mount-dial": {"PATH tcp|udp ADDR:PORT", 3, unshareMountDial},
		"as-uid":             {"[--ambient CAP] UID GID PATH [ARG…]", 3, asUID},
		"setresuid":          {"R E S touch FILE", 5, setresuid},
		"setresuid-int80":    {"R E S touch FILE", 5, setresuidInt80},
		"drop-threads":       {"UID FILE [--for D]", 2, dropThreads},
	}
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	all := actions()
	if len(args) == 0 {
		var names []string
		for name, a := range all {
			names = append(names, name+" "+a.usage)
		}
		slices.Sort(names)
		for _, line := range names {
			fmt.Fprintln(os.Stderr, "probe", line)
		}
		return exitFailed
	}
	a, ok := all[args[0]]
	if !ok || len(args) <= a.atLeast {
		fmt.Fprintln(os.Stderr, "usage: probe", args[0], a.usage)
		return exitFailed
	}
	err := a.do(args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
	}
	return status(err)
}

func status(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errCannot):
		return exitCannot
	case errors.Is(err, syscall.EPERM):
		return exitEPERM
	case timedOut(err), errors.Is(err, syscall.EINPROGRESS): // connect with SO_SNDTIMEO
		return exitTimeout
	}
	return exitFailed
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
