// SPDX-License-Identifier: Apache-2.0

package bpftest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// actEnv makes the test binary perform an act instead of its tests.
const actEnv = "SLUICE_TEST_ACT"

// acts are what Act can have done, with a file of the test's own.
var acts = map[string]func(file string) error{
	"nothing": func(string) error { return nil },
	"chown":   func(file string) error { return os.Chown(file, 1, 1) },             // CAP_CHOWN
	"unshare": func(string) error { return syscall.Unshare(syscall.CLONE_NEWUTS) }, // CAP_SYS_ADMIN
	"write":   func(file string) error { return os.Truncate(file, 0) },
}

// Main is for TestMain: it runs the tests, or the act that Act asks for.
func Main(m *testing.M) {
	act, ok := acts[os.Getenv(actEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	file := os.Args[1]
	status := 0
	if err := act(file); errors.Is(err, syscall.EPERM) {
		status = 1
	} else if err != nil {
		status = 2
	}
	if err := os.WriteFile(file+".after", nil, 0o644); err != nil {
		status = 3
	}
	os.Exit(status)
}

// Ending is how an act went.
type Ending struct {
	Refused bool // with EPERM
	Killed  bool
	After   bool // the process ran on
	UID     uint32
}

// Act has a process of the pod perform an act on a new file. Its program is the test's.
func (r *Ruled) Act(act string) Ending {
	r.Helper()
	file := filepath.Join(r.TempDir(), "file")
	r.must(os.WriteFile(file, nil, 0o644))
	return r.ActOn(act, file)
}

// ActOn is Act on a file that is there.
func (r *Ruled) ActOn(act, file string) (e Ending) {
	r.Helper()
	cmd := r.Command(os.Args[0], file)
	cmd.Env = append(os.Environ(), actEnv+"="+act)
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status := exit.Sys().(syscall.WaitStatus)
		e.Killed = status.Signaled() && status.Signal() == syscall.SIGKILL
		e.Refused = status.Exited() && status.ExitStatus() == 1
		if !e.Killed && !e.Refused {
			r.Fatalf("%s: %v", act, err)
		}
	} else if err != nil {
		e.Refused = errors.Is(err, syscall.EPERM) // the exec itself
		if !e.Refused {
			r.Fatalf("%s: %v", act, err)
		}
	}
	if _, err := os.Stat(file + ".after"); err == nil {
		e.After = true
	}
	var st syscall.Stat_t
	r.must(syscall.Stat(file, &st))
	e.UID = st.Uid
	return e
}
