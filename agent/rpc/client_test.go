// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mustAnswer returns a client of a server that reads one request and answers
// with these bytes. keep leaves the connection open.
func mustAnswer(t *testing.T, answer string, keep bool) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		bufio.NewReader(conn).ReadString('\n')
		io.WriteString(conn, answer)
		if keep {
			io.Copy(io.Discard, conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return Dial(socket)
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name, answer, want string // want in the error; "" for none
		unreachable        bool
	}{
		{"whole", "HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n{\"pods\": 2}", "", false},
		{"to the end of the connection", "HTTP/1.0 200 OK\r\n\r\n{\"pods\": 2}", "", false},
		{"nothing", "", "read answer: EOF", true},
		{"part of the head", "HTTP/1.0 200 OK\r\nContent-", "read answer: ", true},
		{"part of the body", "HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n{\"pods\": 2 ", "unexpected EOF", false},
		{"no JSON", "HTTP/1.0 200 OK\r\n\r\nhello", "read answer: invalid", false},
		{"no HTTP", "SSH-2.0\r\n\r\n", "not HTTP", true},
		{"wrong length", "HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "wrong Content-Length", true},
		{"refused", "HTTP/1.0 409 Conflict\r\n\r\n{\"error\": \"no\"}", "no", false},
		{"refused without a word", "HTTP/1.0 500 Oops\r\n\r\n", "answered with status 500", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reply, err := mustAnswer(t, tt.answer, false).Put(t.Context(), "Namespace", "", "a", nil)
			if tt.want == "" {
				if err != nil || reply.Pods != 2 {
					t.Errorf("reply = %+v, %v", reply, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrUnreachable) != tt.unreachable {
				t.Errorf("error = %v, want %q; unreachable %t", err, tt.want, tt.unreachable)
			}
		})
	}
}

func TestRefusalHasItsStatus(t *testing.T) {
	c := mustAnswer(t, "HTTP/1.0 422 Invalid\r\n\r\n{\"error\": \"no\", \"field\": \"spec\", \"value\": \"x\"}", false)
	_, err := c.Put(t.Context(), "Namespace", "", "a", nil)
	var refused *StatusError
	if !errors.As(err, &refused) || *refused != (StatusError{422, Error{"no", "spec", "x"}}) {
		t.Errorf("error = %#v", err)
	}
}

func TestDeadline(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.0 200 OK\r\n\r\n{"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := mustAnswer(t, answer, true).Attach(ctx, Attachment{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %q: %v, want DeadlineExceeded", answer, err)
		}
	}
}

func TestNoAgent(t *testing.T) {
	if err := Dial(filepath.Join(t.TempDir(), "none")).Ready(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error = %v, want ErrUnreachable", err)
	}
}
