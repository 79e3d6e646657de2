// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sluice-io/sluice/test/harness"
)

//go:embed testdata/containerd.toml
var configText string

var configTemplate = template.Must(template.New("containerd.toml").Parse(configText))

// startTimeout bounds the wait for containerd to serve, and to be gone.
const startTimeout = 20 * time.Second

// containerd is a containerd of a node's own.
type containerd struct {
	cri.RuntimeServiceClient
	images cri.ImageServiceClient

	dir         string
	cgroups     string // the node's cgroup v2 folder, as the plugin and the agent see it
	hierarchies []hierarchy
	node        *harness.Node
	conn        *grpc.ClientConn
	done        chan struct{} // closed when containerd is gone
}

// cgroupsDir is where a node's cgroup v2 folder is bound: one path for it inside
// and outside containerd's mount namespace.
func cgroupsDir(n *harness.Node) string { return filepath.Join(n.Root, "cgroup") }

// startContainerd starts a containerd on the node with the image in it. On error
// nothing is left behind. The caller must close it before the node.
func startContainerd(ctx context.Context, n *harness.Node, plugins, imageTar string) (_ *containerd, err error) {
	c := &containerd{node: n, dir: filepath.Join(n.Root, "containerd"), cgroups: cgroupsDir(n)}
	defer func() {
		if err != nil {
			said, _ := os.ReadFile(c.log())
			err = errors.Join(fmt.Errorf("start containerd: %w; it said:\n%s", err, tail(said)), c.close())
		}
	}()
	if err := os.MkdirAll(c.dir, 0o711); err != nil {
		return nil, err
	}
	if err := os.Mkdir(c.cgroups, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount(n.CgroupRoot, c.cgroups, "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("bind cgroup: %w", err)
	}
	if c.hierarchies, err = makeHierarchies(filepath.Base(n.Root), n.CgroupRoot); err != nil {
		return nil, err
	}
	if err := errors.Join(c.writeConfig(plugins), c.editConflist()); err != nil {
		return nil, err
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	if err := c.waitServing(ctx); err != nil {
		return nil, err
	}
	return c, c.load(ctx, imageTar)
}

func (c *containerd) log() string    { return filepath.Join(c.node.Root, "log", "containerd.log") }
func (c *containerd) socket() string { return filepath.Join(c.dir, "containerd.sock") }

func (c *containerd) writeConfig(plugins string) error {
	var b bytes.Buffer
	err := configTemplate.Execute(&b, map[string]string{
		"Dir": c.dir, "Image": image, "Plugins": plugins, "Conflists": filepath.Dir(c.node.Conflist),
	})
	if err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	return os.WriteFile(filepath.Join(c.dir, "config.toml"), b.Bytes(), 0o644)
}

// editConflist makes the plugin see the node's cgroups where the agent sees them.
func (c *containerd) editConflist() error {
	b, err := os.ReadFile(c.node.Conflist)
	if err != nil {
		return err
	}
	return os.WriteFile(c.node.Conflist, bytes.ReplaceAll(b, []byte(c.node.CgroupRoot), []byte(c.cgroups)), 0o644)
}

// run starts containerd; it outlives ctx, close ends it.
func (c *containerd) run(ctx context.Context) error {
	log, err := os.Create(c.log())
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"testdata/start.sh"}
	for _, h := range c.hierarchies {
		args = append(args, h.dir)
	}
	args = append(args, "--")
	for _, h := range c.hierarchies {
		args = append(args, h.at, h.kind, h.options)
	}
	args = append(args, "--", "containerd", "--config", filepath.Join(c.dir, "config.toml"))
	cmd := c.node.Command(context.WithoutCancel(ctx), "sh", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	c.done = make(chan struct{})
	go func() {
		cmd.Wait()
		close(c.done)
	}()
	return nil
}

func (c *containerd) waitServing(ctx context.Context) (err error) {
	c.conn, err = grpc.NewClient("unix://"+c.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(bound))
	if err != nil {
		return err
	}
	c.RuntimeServiceClient = cri.NewRuntimeServiceClient(c.conn)
	c.images = cri.NewImageServiceClient(c.conn)
	return c.poll(ctx, func(ctx context.Context) error {
		reply, err := c.Status(ctx, &cri.StatusRequest{})
		if err != nil {
			return err
		}
		for _, s := range reply.Status.Conditions {
			if !s.Status {
				return fmt.Errorf("%s: %s: %s", s.Type, s.Reason, s.Message)
			}
		}
		return nil
	})
}

// callTimeout bounds every call of CRI, so that a runtime that hangs fails the test.
const callTimeout = 30 * time.Second

func bound(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker,
	options ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx, method, request, reply, conn, options...)
}

// load imports the image, which CRI cannot do, and waits until CRI knows it.
func (c *containerd) load(ctx context.Context, imageTar string) error {
	out, err := c.node.Command(ctx, "ctr", "--address", c.socket(), "--namespace", "k8s.io", "images", "import", imageTar).
		CombinedOutput()
	if err != nil {
		return fmt.Errorf("import image: %w\n%s", err, out)
	}
	return c.poll(ctx, func(ctx context.Context) error {
		reply, err := c.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
		if err == nil && reply.Image == nil {
			err = errors.New("image is not there")
		}
		return err
	})
}

// poll asks until there is no error.
func (c *containerd) poll(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// close kills whatever runs on the node, the agent too, and removes what
// startContainerd made.
func (c *containerd) close() error {
	var errs []error
	if c.conn != nil {
		errs = append(errs, c.conn.Close())
	}
	errs = append(errs, os.WriteFile(filepath.Join(c.node.CgroupRoot, "cgroup.kill"), []byte("1"), 0))
	if c.done != nil {
		select {
		case <-c.done:
		case <-time.After(startTimeout):
			errs = append(errs, errors.New("containerd does not end"))
		}
	}
	errs = append(errs, removeHierarchies(c.hierarchies))
	if err := unix.Unmount(c.cgroups, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		errs = append(errs, fmt.Errorf("unmount %s: %w", c.cgroups, err))
	}
	return errors.Join(errs...)
}

// tail is the end of a log.
func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
