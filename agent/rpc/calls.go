// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
)

// Lost is a line among the flows or events that a follower reads: so many it
// missed by reading too slowly.
type Lost struct {
	Lost uint64 `json:"lost"`
}

// Detachment is what the plugin sends on CNI DEL.
type Detachment struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifName"`
}

// Query chooses flows or events; a zero field chooses all.
type Query struct {
	Follow  bool
	Pod     string // "namespace/name"
	Verdict string // flows only
	Type    string // events only
	Outcome string // events only
	Rule    string // events only: Kind/namespace/name[index], or a part of it as in policies
	Since   string // a duration back from now, or an RFC 3339 time
	Limit   int    // the newest of the past; what follows does not count
}

func (q *Query) path(list string) string {
	v := url.Values{}
	for name, value := range map[string]string{"pod": q.Pod, "verdict": q.Verdict, "type": q.Type,
		"outcome": q.Outcome, "rule": q.Rule, "since": q.Since} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Follow {
		v.Set("follow", "true")
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return list + "?" + v.Encode()
}

// objectPath names an object; namespace is empty for cluster-scoped kinds.
func objectPath(kind, namespace, name string) string {
	if namespace == "" {
		namespace = "-"
	}
	return "/v1/objects/" + url.PathEscape(kind) + "/" + url.PathEscape(namespace) + "/" + url.PathEscape(name)
}

// Put makes an object, JSON or YAML, and returns once it is in force on every
// pod of the node.
func (c *Client) Put(ctx context.Context, kind, namespace, name string, object []byte) (PutReply, error) {
	var reply PutReply
	err := c.call(ctx, "PUT", objectPath(kind, namespace, name), object, &reply)
	return reply, err
}

// Delete removes an object and returns once it is out of force.
func (c *Client) Delete(ctx context.Context, kind, namespace, name string) (PutReply, error) {
	var reply PutReply
	err := c.call(ctx, "DELETE", objectPath(kind, namespace, name), nil, &reply)
	return reply, err
}

// Get returns one object as JSON.
func (c *Client) Get(ctx context.Context, kind, namespace, name string) (json.RawMessage, error) {
	var object json.RawMessage
	err := c.call(ctx, "GET", objectPath(kind, namespace, name), nil, &object)
	return object, err
}

// List returns the objects of a kind as JSON.
func (c *Client) List(ctx context.Context, kind string) ([]json.RawMessage, error) {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	err := c.call(ctx, "GET", "/v1/objects/"+url.PathEscape(kind), nil, &list)
	return list.Items, err
}

// Status returns the agent's state.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	err := c.call(ctx, "GET", "/v1/status", nil, &status)
	return status, err
}

// Ready is nil if the agent enforces what it was told; a StatusError if not yet.
func (c *Client) Ready(ctx context.Context) error {
	return c.call(ctx, "GET", "/readyz", nil, nil)
}

// Attach asks for a pod's policy to be put in force and returns once it is.
func (c *Client) Attach(ctx context.Context, a Attachment) (AttachReply, error) {
	var reply AttachReply
	request, err := json.Marshal(a)
	if err != nil {
		return reply, fmt.Errorf("encode attachment: %w", err)
	}
	err = c.call(ctx, "POST", "/v1/cni/attach", request, &reply)
	return reply, err
}

// Detach tells that a pod's interface is gone.
func (c *Client) Detach(ctx context.Context, containerID, ifName string) error {
	request, err := json.Marshal(Detachment{containerID, ifName})
	if err != nil {
		return fmt.Errorf("encode detachment: %w", err)
	}
	return c.call(ctx, "POST", "/v1/cni/detach", request, nil)
}

// Pods returns the pods of the node.
func (c *Client) Pods(ctx context.Context) ([]Pod, error) {
	pods := []Pod{}
	err := lines(ctx, c, "/v1/pods", false, func(p Pod) error {
		pods = append(pods, p)
		return nil
	}, nil)
	return pods, err
}

// Processes returns the processes of a pod ("namespace/name") of the node, of all its
// pods if it is empty.
func (c *Client) Processes(ctx context.Context, pod string) ([]Running, error) {
	list := []Running{}
	q := Query{Pod: pod}
	err := lines(ctx, c, q.path("/v1/processes"), false, func(r Running) error {
		list = append(list, r)
		return nil
	}, nil)
	return list, err
}

// Flows calls each for every flow that q chooses, oldest first. When following it
// ends with ctx, and calls lost, if not nil, when it was too slow.
func (c *Client) Flows(ctx context.Context, q Query, each func(Flow) error, lost func(uint64)) error {
	return lines(ctx, c, q.path("/v1/flows"), q.Follow, each, lost)
}

// Events is Flows for events.
func (c *Client) Events(ctx context.Context, q Query, each func(Event) error, lost func(uint64)) error {
	return lines(ctx, c, q.path("/v1/events"), q.Follow, each, lost)
}

// lines reads JSON lines. Those of a follower end only by ctx, which is no error.
func lines[T any](ctx context.Context, c *Client, path string, follow bool, each func(T) error, lost func(uint64)) error {
	answer, err := c.do(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	for r := bufio.NewReader(answer); ; {
		line, err := r.ReadBytes('\n')
		switch {
		case err == nil:
		case follow && ctx.Err() != nil:
			return nil
		case follow:
			return fmt.Errorf("%w: it ended the stream", ErrUnreachable)
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		default:
			return fmt.Errorf("read answer: %w", err)
		}
		var missed Lost
		if bytes.HasPrefix(line, []byte(`{"lost":`)) && json.Unmarshal(line, &missed) == nil {
			if lost != nil {
				lost(missed.Lost)
			}
			continue
		}
		var entry T
		if err := json.Unmarshal(line, &entry); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if err := each(entry); err != nil {
			return err
		}
	}
}
