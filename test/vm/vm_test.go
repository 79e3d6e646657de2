// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

// series are the kernels that are tried, each in a guest of its own.
var series = []string{"6.12", "6.18", Newest}

var only = flag.String("row", "", "run only rows whose package matches this expression")

// others are the kernels that are likely not the machine's.
var others = []string{"6.12", Newest}

// table says which tests run in guests. Loading the programs takes a guest 10
// seconds, so of those that say the same again only some do; ptp is bridge again.
var table = []struct {
	pkg     string
	run     string   // as -test.run
	skip    string   // as -test.skip
	kernels []string // all if none
}{
	{pkg: "bpf/state", kernels: others},
	{pkg: "bpf/door", run: "TestAttach|TestICMPErrors$|TestFragmentsFollowTheFirst|TestLinkFrames$|TestFlowsEndByThemselves", kernels: others},
	{pkg: "bpf/nat", kernels: others},
	{pkg: "bpf/sock", kernels: others},
	{pkg: "bpf/process", kernels: others},
	{pkg: "bpf/cred", kernels: others},
	{pkg: "bpf/lsm"},
	{pkg: "bpf/capability"},
	{pkg: "bpf/file"},
	{pkg: "test/oracle", kernels: []string{"6.12"}},
	{pkg: "test/plugin", run: "TestOpenPod|TestRepeatedAdd|TestDelTwice|TestCgroupOfAPod", kernels: []string{"6.12"}},
	{
		pkg: "test/scenario", skip: "/ptp|//iptables", kernels: []string{"6.12"},
		run: "TestNetworkPolicy|TestClusterNetworkPolicy|TestServices$|TestProcessRule|TestProcessScript$|TestEscalationKilled|TestExecRules|TestCapabilityRules|TestFile",
	},
	{pkg: "test/scenario", skip: "/ptp", kernels: []string{"6.18", Newest}, run: "TestNetworkPolicy|TestExecRules"},
}

const (
	module   = "github.com/sluice-io/sluice/"
	root     = "../.."
	cache    = root + "/bin/vm"
	programs = "/opt/sluice" // in the guest
)

func TestKernels(t *testing.T) {
	require(t)
	files := build(t)
	for _, s := range series {
		kernel, err := FindKernel(t.Context(), cache, s)
		t.Run(s, func(t *testing.T) {
			switch {
			case err == nil:
			case !errors.Is(err, ErrUnavailable):
				t.Fatal(err)
			case s == series[0]:
				skip(t, err.Error())
			default: // the mirror may have none, or be away
				t.Skip(err)
			}
			t.Parallel() // a guest keeps one processor busy
			t.Log("kernel ", kernel.Release)
			testKernel(t, s, Config{
				Kernel: kernel, Files: files, Programs: []string{"sh", "sleep", "iptables", "ip6tables", "nft"},
			})
		})
	}
}

// testKernel runs the table's tests in one guest.
func testKernel(t *testing.T, kernel string, c Config) {
	var names []string
	var commands []Command
	for _, row := range table {
		if !regexp.MustCompile(*only).MatchString(row.pkg) || row.kernels != nil && !slices.Contains(row.kernels, kernel) {
			continue
		}
		names = append(names, row.pkg)
		args := []string{path.Join(programs, path.Base(row.pkg)+".test"), "-test.v", "-test.short", "-test.parallel=1", "-test.run=" + row.run}
		if row.skip != "" {
			args = append(args, "-test.skip="+row.skip)
		}
		commands = append(commands, Command{Dir: "/tmp", Args: args, Env: []string{
			requires(kernel), harness.BuiltEnv + "=" + programs, harness.SlowEnv + "=5",
		}})
	}
	ctx := t.Context()
	if end, ok := t.Deadline(); ok { // leave time to say what was done until then
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-10*time.Second))
		defer cancel()
	}
	results, err := Run(ctx, c, commands...)
	for i, r := range results {
		t.Run(names[i], func(t *testing.T) {
			log := filepath.Join(cache, strings.ReplaceAll(kernel+"/"+names[i], "/", "-")+".log")
			if err := os.WriteFile(log, []byte(r.Output), 0o644); err != nil {
				t.Error(err)
			}
			t.Logf("took %s: %s", r.Took, log)
			if r.Status != 0 {
				t.Errorf("status %d\n%s", r.Status, failures(r.Output))
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// requires names what a guest's kernel must have.
func requires(kernel string) string {
	if kernel == series[0] {
		return "REQUIRE=root,lsm"
	}
	return "REQUIRE=root,lsm,capability"
}

// build builds what the guests run, once for all.
func build(t *testing.T) map[string]string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(cache, "bin"))
	if err == nil {
		err = harness.BuildPlugins(t.Context(), bin)
	}
	if err == nil {
		_, err = harness.BuildAgent(t.Context(), bin)
	}
	if err == nil {
		_, err = harness.BuildProbe(t.Context(), bin)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"test", "-c", "-ldflags=-s -w", "-o", bin + "/"}
	for _, row := range table {
		args = append(args, module+row.pkg)
	}
	if _, err := run(t.Context(), root, "go", args...); err != nil {
		t.Fatal(err)
	}
	built, err := os.ReadDir(bin)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, f := range built {
		files[path.Join(programs, f.Name())] = filepath.Join(bin, f.Name())
	}
	return files
}

// failures leaves out the tests that passed and said nothing.
func failures(out string) string {
	return regexp.MustCompile(`(?m)^ *(=== (RUN|PAUSE|CONT|NAME)|--- PASS:).*\n`).ReplaceAllString(out, "")
}

// require skips the test where no guest can be booted.
func require(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		skip(t, "guests are amd64 only")
	}
	for _, program := range []string{"qemu-system-x86_64", "busybox", "iptables", "ip6tables", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, err.Error())
		}
	}
}

// skip skips the test, or fails it where REQUIRE names vm.
func skip(t *testing.T, reason string) {
	t.Helper()
	if slices.Contains(strings.FieldsFunc(os.Getenv("REQUIRE"), func(r rune) bool { return r == ',' || r == ' ' }), "vm") {
		t.Fatal(reason)
	}
	t.Skip(reason)
}
