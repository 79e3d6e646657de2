// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/cli"
	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
)

// runDoctor tries every capability on this node.
func runDoctor(_ context.Context, c cli.DoctorConfig) (cli.Report, error) {
	if err := checkDisable(c.Disable); err != nil {
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
		row := cli.Row{Name: c.Name, OK: c.Err == nil, Required: c.Required, Gives: c.Gives, Reason: c.Reason()}
		if c.Err != nil && c.Without != "" {
			row.Gives = c.Without
		}
		report.Rows = append(report.Rows, row)
	}
	return report, nil
}

// runUninstall removes pins, records and the socket. A running agent is refused:
// it would put things back.
func runUninstall(ctx context.Context, c cli.UninstallConfig) error {
	if !errors.Is(rpc.Dial(c.Socket).Ready(ctx), rpc.ErrUnreachable) {
		return errors.New("an agent answers on " + c.Socket + ": stop it first")
	}
	errs := []error{datapath.Uninstall(c.BPFFS)}
	for _, path := range []string{
		filepath.Join(c.StateDir, "pods"), filepath.Join(c.StateDir, "objects"), filepath.Join(c.StateDir, "last-good"), filepath.Join(c.StateDir, "ids.json"),
		filepath.Join(c.StateDir, "files.json"),
		filepath.Join(c.StateDir, "agent.lock"), c.Socket,
	} {
		errs = append(errs, os.RemoveAll(path))
	}
	// Folders that hold something else stay.
	for _, dir := range []string{c.StateDir, filepath.Dir(c.Socket)} {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("remove %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// switches are the optional points that --disable may name.
var switches = [...]string{"syscalls", "scripts", "netfilter", "lsm"}

func checkDisable(names []string) error {
	for _, name := range names {
		if !slices.Contains(switches[:], name) {
			return fmt.Errorf("--disable: %q is not an optional point; there are %s", name, strings.Join(switches[:], ", "))
		}
	}
	return nil
}
