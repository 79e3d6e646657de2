// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestSocketMode(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "run", "sock")
	l, err := listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
	l.Close()
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is still there after Close")
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	old, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false) // as kill -9 leaves it
	old.Close()
	l, err := listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestLiveSocketIsKept(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	// Agents that start at once: exactly one may win, also over a stale socket.
	var group sync.WaitGroup
	var mu sync.Mutex
	var won []net.Listener
	for range 8 {
		group.Go(func() {
			l, err := listen(socket)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, l)
			} else if !strings.Contains(err.Error(), "another agent serves") {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(won) != 1 {
		t.Fatalf("%d agents listen", len(won))
	}
	defer won[0].Close()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestOtherFilesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("listen in place of a file: %v", err)
	}
}
