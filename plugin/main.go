// SPDX-License-Identifier: Apache-2.0

// Command sluice-cni is the chained CNI plugin that puts a gate at a pod's door:
// it registers the pod in the kernel, attaches the pinned programs and asks the
// agent to put the pod's policy in force. It works from the pins alone while the
// agent is away.
package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	cniversion "github.com/containernetworking/cni/pkg/version"
)

var version = "dev" // set by the linker

func main() {
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add:    command("ADD", add),
		Check:  command("CHECK", check),
		Del:    command("DEL", del),
		GC:     command("GC", gc),
		Status: command("STATUS", status),
	}, cniversion.PluginSupports("0.4.0", "1.0.0", "1.1.0"), "CNI plugin sluice-cni "+version)
}

// command reads the configuration for run and logs how it went. DEL goes on with
// a wrong configuration, since nobody could get rid of the pod otherwise.
func command(name string, run func(*conf, *skel.CmdArgs) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		start := time.Now()
		c, err := parseConf(args.StdinData)
		out, closeLog := openLog(c.LogFile)
		defer closeLog()
		c.log = slog.New(slog.NewJSONHandler(out, nil)).With("command", name,
			"containerID", args.ContainerID, "ifName", args.IfName, "args", args.Args)
		if err == nil || name == "DEL" {
			err = run(c, args)
		}
		if err != nil {
			c.log.Error("failed", "error", err.Error(), "took", time.Since(start).String())
			return err
		}
		c.log.Info("done", "took", time.Since(start).String())
		return nil
	}
}

// openLog opens the log file. One that is not set, or cannot be written, must not
// keep a pod from its network.
func openLog(path string) (io.Writer, func() error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return io.Discard, func() error { return nil }
	}
	return f, f.Close
}
