// SPDX-License-Identifier: Apache-2.0

// Package api serves the agent's JSON API and metrics on its unix socket, for
// the sluice commands, the CNI plugin and scripts.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-io/sluice/agent/journal"
	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/agent/store"
	"github.com/sluice-io/sluice/policy"
)

// ErrNoFit is wrapped by a Backend's errors about what the kernel maps have no
// room for.
var ErrNoFit = errors.New("does not fit")

const (
	maxBody       = 1 << 20
	applyTimeout  = 30 * time.Second
	headerTimeout = 5 * time.Second
	bodyTimeout   = 30 * time.Second
	closeTimeout  = 2 * time.Second
)

// Backend is what enforces. Its methods are called from any goroutine, Apply by
// one at a time.
type Backend interface {
	// Apply returns once c is in force on every pod of the node. After an error,
	// which wraps ErrNoFit if c has no room, what was in force before still is.
	Apply(ctx context.Context, c *policy.Cluster) (rpc.PutReply, error)
	// Attach returns once the pod's policy is in force, or ctx ended.
	Attach(ctx context.Context, a rpc.Attachment) (rpc.AttachReply, error)
	// Detach forgets a pod's interface; one that is not known is no error.
	Detach(ctx context.Context, containerID, ifName string) error
	// Pods returns the pods of the node.
	Pods() []rpc.Pod
	// Processes returns those of a pod as they are now, of all pods for an empty one.
	Processes(pod rpc.PodRef) ([]rpc.Running, error)
	// Subscribe has events of a type told of a pod, or of all pods for an empty one, until
	// cancel is called.
	Subscribe(pod rpc.PodRef, event string) (cancel func())
	// Flows returns what the kernel's flow table holds now.
	Flows() []rpc.Flow
	// Status returns everything but what the Store knows.
	Status() rpc.Status
	// Spare lets everything through for a time; 0 ends that.
	Spare(span time.Duration) error
	// Spared is how long that still lasts.
	Spared() (time.Duration, error)
	// Ready is true once every pod found at the start was realised.
	Ready() bool
}

// Config is what a Server needs; every field must be set.
type Config struct {
	Socket  string
	Store   *store.Store
	Journal *journal.Journal
	Backend Backend
	Metrics prometheus.Gatherer
	Log     *slog.Logger
}

// Server is the API of one agent.
type Server struct {
	Config
	listener    net.Listener
	handler     http.Handler
	bodyTimeout time.Duration
}

// New listens on the socket, mode 0600, in place of one that no agent serves any
// more. It fails if an agent does. Connections wait until Run; the caller must
// call Run or Close.
func New(cfg Config) (*Server, error) {
	l, err := listen(cfg.Socket)
	if err != nil {
		return nil, err
	}
	s := &Server{Config: cfg, listener: l, bodyTimeout: bodyTimeout}
	s.handler = s.routes()
	return s, nil
}

// Close removes the socket. After Run it does nothing.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close socket: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then waits a moment for what is under way and
// removes the socket.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(limit) != nil {
			server.Close() // a follower that does not read
		}
	})
	err := server.Serve(s.listener)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve API: %w", err)
}

// methods are the handlers of one path.
type methods map[string]func(w http.ResponseWriter, r *http.Request) error

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for path, m := range map[string]methods{
		"/v1/objects/{kind}/{namespace}/{name}": {"GET": s.getObject, "PUT": s.putObject, "DELETE": s.deleteObject},
		"/v1/objects/{kind}/{namespace}":        {"GET": s.listObjects},
		"/v1/objects/{kind}":                    {"GET": s.listObjects},
		"/v1/pods":                              {"GET": s.pods},
		"/v1/processes":                         {"GET": s.processes},
		"/v1/flows":                             {"GET": s.flows},
		"/v1/events":                            {"GET": s.events},
		"/v1/status":                            {"GET": s.status},
		"/v1/enforcement":                       {"GET": s.getEnforcement, "PUT": s.putEnforcement},
		"/v1/cni/attach":                        {"POST": s.attach},
		"/v1/cni/detach":                        {"POST": s.detach},
		"/healthz":                              {"GET": s.healthz},
		"/readyz":                               {"GET": s.readyz},
	} {
		mux.Handle(path, m)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &requestError{http.StatusNotFound, rpc.Error{Message: "no such path: " + r.URL.Path}})
	})
	return s.guard(mux)
}

// guard bounds the time in which a body must come, and refuses the paths that mux
// would answer with a redirect, which no client of a socket follows.
func (s *Server) guard(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path {
			fail(w, &requestError{http.StatusNotFound, rpc.Error{Message: "no such path: " + r.URL.Path + "; write " + clean}})
			return
		}
		if r.ContentLength != 0 {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.bodyTimeout)); err != nil {
				fail(w, err)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handle, ok := m[r.Method]
	if !ok {
		fail(w, &requestError{http.StatusMethodNotAllowed,
			rpc.Error{Message: r.Method + " is not possible on " + r.URL.Path}})
		return
	}
	if err := handle(w, r); err != nil {
		fail(w, err)
	}
}
