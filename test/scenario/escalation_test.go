// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

const (
	killGains  = `escalation: {rules: [{classes: [Privileges], action: Kill}]}`
	auditGains = `mode: Audit, ` + killGains
	capSetuid  = "7"
)

// thief is a client pod with programs that give privileges away.
type thief struct {
	*world
	client                     *harness.Pod
	dir, plain                 string
	setuid, setgid, capability string
}

func newThief(t *testing.T) *thief {
	t.Helper()
	w := newWorld(t, harness.Config{})
	s := &thief{world: w, dir: mustDir(t), client: w.pod("client")}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Flags&unix.ST_NOSUID != 0 {
		skip(t, s.dir+" is mounted nosuid")
	}
	s.plain = copyOf(t, s.dir, "plain")
	s.setuid, s.setgid, s.capability = copyOf(t, s.dir, "setuid"), copyOf(t, s.dir, "setgid"), copyOf(t, s.dir, "capability")
	if err := os.Chmod(s.setuid, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.setgid, 0o755|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	// struct vfs_cap_data, revision 2: CAP_NET_RAW, effective.
	attr := make([]byte, 20)
	binary.LittleEndian.PutUint32(attr, 0x02000001)
	binary.LittleEndian.PutUint32(attr[4:], 1<<unix.CAP_NET_RAW)
	if err := unix.Setxattr(s.capability, "security.capability", attr, 0); err != nil {
		skip(t, fmt.Sprintf("give a file a capability: %v", err))
	}
	return s
}

// gains are the ways of uid 1000 to privilege; each ends with a file made.
func (s *thief) gains() map[string][]string {
	return map[string][]string{
		"setuid program":      {"as-uid", "1000", "1000", s.setuid, "touch"},
		"setgid program":      {"as-uid", "1000", "1000", s.setgid, "touch"},
		"file capability":     {"as-uid", "1000", "1000", s.capability, "touch"},
		"setresuid":           {"as-uid", "--ambient", capSetuid, "1000", "1000", s.plain, "setresuid", "0", "0", "0", "touch"},
		"saved uid":           {"as-uid", "--ambient", capSetuid, "1000", "1000", s.plain, "setresuid", "1000", "1000", "0", "touch"},
		"another user":        {"as-uid", "--ambient", capSetuid, "1000", "1000", s.plain, "setresuid", "1001", "1001", "1001", "touch"},
		"setresuid, int 0x80": {"as-uid", "--ambient", capSetuid, "1000", "1000", s.plain, "setresuid-int80", "0", "0", "0", "touch"},
	}
}

// try runs args and a path for a file, and wants it to end like this.
func (s *thief) try(want int, args ...string) {
	s.Helper()
	s.tryIn("main", nil, want, args...)
}

// tryIn is try in a container of its own, as a user that its runtime sets.
func (s *thief) tryIn(container string, as *syscall.Credential, want int, args ...string) {
	s.Helper()
	witness := filepath.Join(s.dir, fmt.Sprint("witness-", time.Now().UnixNano()))
	cmd := s.client.CommandIn(context.WithoutCancel(s.Context()), container, built.probe, append(args, witness)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	s.expectEnd(want, cmd)
	if exists(s.T, witness) != (want == ok) {
		s.Errorf("%v: the file is there: %v", args, want != ok)
	}
}

// watched says whether the program on every system call is attached.
func (s *thief) watched() bool {
	s.Helper()
	return exists(s.T, filepath.Join(s.node.Bpffs, "links", "cred_exit"))
}

// outcomes counts the pod's escalation events by outcome.
func (s *thief) outcomes() map[string]int {
	s.Helper()
	n := map[string]int{}
	for _, e := range s.events(s.client, "escalation") {
		n[e.Outcome]++
	}
	return n
}

func TestEscalationKilled(t *testing.T) {
	t.Parallel()
	s := newThief(t)
	s.put("WorkloadPolicy", workload(killGains))
	if !s.watched() {
		t.Error("system calls are not watched under a policy that asks for it")
	}
	done := 0
	for how, args := range s.gains() {
		s.run(how, func(w *world) {
			on := *s
			on.world = w
			on.try(killed, args...)
			done++
		})
	}
	s.until("each is reported", func() bool { return s.outcomes()["killed"] >= done })
	if n := s.outcomes(); n["killed"] != done {
		t.Errorf("%d gains, %v", done, n)
	}
	for _, e := range s.events(s.client, "escalation") {
		if e.Class != "Privileges" || e.Outcome != "killed" || e.ContainerEnded || e.Detail == "" ||
			!strings.HasPrefix(e.Process.Path, s.dir) || e.Rule == nil || e.Rule.Name != "p" || e.Rule.Kind != "WorkloadPolicy" {
			t.Errorf("event: %+v, rule %+v", e, e.Rule)
		}
	}
	s.run("pid 1", func(w *world) {
		cmd := s.client.CommandIn(w.Context(), "init", built.probe, "as-uid", "1000", "1000", s.setuid, "touch", s.dir+"/never")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		w.expectEnd(killed, cmd)
		w.event(s.client, "the end of the container", func(e *rpc.Event) bool { return e.ContainerEnded })
	})
	s.kill9()
	s.try(killed, s.gains()["setuid program"]...)
	s.try(killed, s.gains()["setresuid"]...)
	s.start()
	if !s.watched() {
		t.Error("system calls are not watched after a restart")
	}
	s.remove("WorkloadPolicy")
	if s.watched() {
		t.Error("system calls are watched, and no policy asks for it")
	}
	for _, args := range s.gains() {
		s.try(ok, args...)
	}
}

// TestEscalationInnocent starts twenty containers, and twenty times programs in one,
// that give up what they have, as daemons do: none is killed.
func TestEscalationInnocent(t *testing.T) {
	t.Parallel()
	s := newThief(t)
	s.put("WorkloadPolicy", workload(killGains))
	innocent := [][]string{
		{"drop-threads", "1000"},
		{"as-uid", "1000", "1000", s.plain, "touch"},
		{"exec", s.setuid, "touch"}, // root stays root
		{"setresuid", "0", "1000", "0", "touch"},
		{"exec", s.plain, "setresuid", "1000", "1000", "1000", "touch"},
	}
	for i := range 20 {
		for _, args := range innocent {
			s.try(ok, args...)
		}
		s.tryIn(fmt.Sprint("root-", i), nil, ok, innocent[i%len(innocent)]...)
		s.tryIn(fmt.Sprint("user-", i), &syscall.Credential{Uid: 1000, Gid: 1000}, ok, "exec", s.plain, "touch")
	}
	if n := s.outcomes(); len(n) > 0 {
		t.Errorf("escalations by programs that gained nothing: %v", n)
	}
}

// TestEscalationSeen kills nothing: in Audit mode, and without a policy.
func TestEscalationSeen(t *testing.T) {
	t.Parallel()
	s := newThief(t)
	if s.watched() {
		t.Error("system calls are watched, and no policy asks for it")
	}
	// Without a policy a drop is seen at the next exec.
	s.try(ok, "as-uid", "1000", "1000", s.plain, "exec", s.setuid, "touch")
	s.event(s.client, "an observed gain", func(e *rpc.Event) bool {
		return e.Type == "escalation" && e.Outcome == "observed"
	})
	s.put("WorkloadPolicy", workload(auditGains))
	before := s.outcomes()["observed"]
	for _, args := range s.gains() {
		s.try(ok, args...)
	}
	s.until("each is reported as audited", func() bool { return s.outcomes()["audited"] >= len(s.gains()) })
	if n := s.outcomes(); n["killed"] != 0 || n["observed"] != before || n["audited"] != len(s.gains()) {
		t.Errorf("%d gains, %v, %d before", len(s.gains()), n, before)
	}
	s.put("WorkloadPolicy", workload(`egress: {}`))
	if s.watched() {
		t.Error("system calls are still watched")
	}
}
