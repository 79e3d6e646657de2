// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// ErrUnreachable is wrapped by errors about an agent that does not listen, or
// that went away before it answered.
var ErrUnreachable = errors.New("agent not reachable")

// StatusError is a request that the agent refused.
type StatusError struct {
	Code int // HTTP status
	Body Error
}

func (e *StatusError) Error() string { return e.Body.Message }

// Client speaks to the agent of one socket. It keeps no connection, so it needs
// no Close, and it may be used from any goroutine.
//
// It speaks HTTP/1.0 itself, one request a connection: net/http would bring TLS
// and HTTP/2 into the plugin, 3 of 8 MB of a binary that is run for every pod.
type Client struct{ socket string }

// Dial returns a client of the agent's socket. It does not connect yet.
func Dial(socket string) *Client { return &Client{socket} }

// body is an answer's body; Close ends the connection.
type body struct {
	r        io.Reader
	conn     net.Conn
	canceled func() error // ctx.Err
	stop     func() bool
}

// Read says why the connection was interrupted, rather than that it was.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && b.canceled() != nil {
		err = b.canceled()
	}
	return n, err
}

func (b *body) Close() error {
	b.stop()
	return b.conn.Close()
}

// do sends one request. ctx bounds it and the reading of the answer. The caller
// must close the answer, whose status is below 300.
func (c *Client) do(ctx context.Context, method, path string, content []byte) (io.ReadCloser, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	b := &body{conn: conn, canceled: ctx.Err, stop: stop}
	if err := b.roundTrip(method, path, content); err != nil {
		b.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask agent: %w", ctx.Err())
		}
		return nil, err
	}
	return b, nil
}

func (b *body) roundTrip(method, path string, content []byte) error {
	request := fmt.Appendf(nil, "%s %s HTTP/1.0\r\nHost: sluice\r\nContent-Length: %d\r\n\r\n%s",
		method, path, len(content), content)
	// The agent may answer, and hang up, before it read all: what it said counts.
	_, writeErr := b.conn.Write(request)
	r := bufio.NewReader(b.conn)
	code, length, err := readHead(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, errors.Join(writeErr, err))
	}
	b.r = r
	if length >= 0 {
		b.r = &exactReader{r, length}
	}
	if code < 300 {
		return nil
	}
	refused := &StatusError{Code: code}
	if err := json.NewDecoder(io.LimitReader(b, 1<<20)).Decode(&refused.Body); err != nil {
		refused.Body.Message = "answered with status " + strconv.Itoa(code)
	}
	return refused
}

// readHead reads the status line and the headers. length is -1 if the body lasts
// until the connection ends.
func readHead(r *bufio.Reader) (code int, length int64, err error) {
	head := textproto.NewReader(r)
	line, err := head.ReadLine()
	if err != nil {
		return 0, 0, fmt.Errorf("read answer: %w", err)
	}
	version, rest, _ := strings.Cut(line, " ")
	digits, _, _ := strings.Cut(rest, " ")
	code, err = strconv.Atoi(digits)
	if err != nil || !strings.HasPrefix(version, "HTTP/1.") {
		return 0, 0, errors.New("read answer: not HTTP")
	}
	header, err := head.ReadMIMEHeader()
	if err != nil {
		return 0, 0, fmt.Errorf("read answer: %w", err)
	}
	length = -1
	if value := header.Get("Content-Length"); value != "" {
		if length, err = strconv.ParseInt(value, 10, 64); err != nil || length < 0 {
			return 0, 0, errors.New("read answer: wrong Content-Length")
		}
	}
	return code, length, nil
}

// exactReader reads n bytes, and tells when the connection ended before.
type exactReader struct {
	r io.Reader
	n int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	e.n -= int64(n)
	if err == io.EOF && e.n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// call sends one request and decodes the JSON answer into reply, if not nil.
func (c *Client) call(ctx context.Context, method, path string, request []byte, reply any) error {
	answer, err := c.do(ctx, method, path, request)
	if err != nil {
		return err
	}
	defer answer.Close()
	if reply == nil {
		return nil
	}
	if err := json.NewDecoder(answer).Decode(reply); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}
