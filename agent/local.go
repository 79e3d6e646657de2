// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/cli"
	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
)

// runDoctor tries every capability on this node.
func runDoctor(_ context.Context, c cli.DoctorConfig) (cli.Report, error) {
	if err := needRoot("doctor"); err != nil {
		return cli.Report{}, err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return cli.Report{}, fmt.Errorf("read kernel release: %w", err)
	}
	report := cli.Report{Kernel: unix.ByteSliceToString(uts.Release[:]), Tier: "no-LSM"}
	disabled := c.Disable
	for _, c := range datapath.Probe() {
		if slices.Contains(disabled, c.Switch) {
			c.Err = errors.New("switched off by --disable")
		}
		if c.Switch == "lsm" && c.Err == nil {
			report.Tier = "full"
		}
		row := cli.Row{Name: c.Name, OK: c.Err == nil, Required: c.Required, Gives: c.Gives, Reason: c.Reason()}
		if c.Err != nil && c.Without != "" {
			row.Gives = c.Without
		}
		report.Rows = append(report.Rows, row)
	}
	return report, nil
}

// runUninstall removes pins, records and the socket. A running agent, whatever its
// socket, is refused: it would put things back.
func runUninstall(ctx context.Context, c cli.UninstallConfig) error {
	if !errors.Is(rpc.Dial(c.Socket).Ready(ctx), rpc.ErrUnreachable) {
		return errors.New("an agent answers on " + c.Socket + ": stop it first")
	}
	var held locks
	defer held.release()
	if err := held.lockToRemove(c.StateDir, c.BPFFS); err != nil {
		return err
	}
	if held.pins != nil {
		held.pins.Close() // an open folder keeps its filesystem from being unmounted
	}
	errs := []error{datapath.Uninstall(c.BPFFS)}
	for _, name := range []string{"pods", "objects", "last-good", "ids.json", "files.json", "holders.json", "formers.json", "revision", "agent.lock"} {
		errs = append(errs, os.RemoveAll(filepath.Join(c.StateDir, name)))
	}
	errs = append(errs, os.RemoveAll(c.Socket))
	// Folders that hold something else stay.
	for _, dir := range []string{c.StateDir, filepath.Dir(c.Socket)} {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("remove %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// needRoot says at once what would fail later with a worse reason.
func needRoot(command string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s needs root: run `sudo sluice %s`", command, command)
	}
	return nil
}
