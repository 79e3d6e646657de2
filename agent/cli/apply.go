// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

// source is an object and where it was read.
type source struct {
	*manifest.Object
	from string
}

func (c *command) apply() *cobra.Command {
	var files []string
	cmd := c.asks(&cobra.Command{
		Use:   "apply -f FILE|FOLDER|-",
		Short: "Put objects in force",
		Long: `Returns once each object is in force on every pod of this node. If one of them
cannot be read none is sent; an object that the agent refuses changes nothing.`,
		Example: `  sluice apply -f policy.yaml
  sluice apply -f manifests/ -f more.json
  generate-policy | sluice apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return errors.New("nothing to apply: name a file, a folder or - with -f")
			}
			c.running = true
			objects, err := readSources(files, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return c.applyAll(cmd.Context(), cmd.OutOrStdout(), objects)
		},
	})
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "`file` of YAML or JSON, a folder of them, or - for standard input")
	return cmd
}

func (c *command) applyAll(ctx context.Context, out io.Writer, objects []source) error {
	var degraded bool
	err := each(objects, func(o source) error {
		reply, err := c.client().Put(ctx, string(o.Ref.Kind), o.Ref.Namespace, o.Ref.Name, o.JSON)
		if err != nil {
			return err
		}
		degraded = degraded || reply.State != "enforced"
		fmt.Fprintf(out, "%s %s (revision %d, pods %d)\n", o.Ref, reply.State, reply.Revision, reply.Pods)
		return nil
	})
	if err == nil && degraded {
		return &exitError{exitDegraded, errors.New(`accepted, but not in force everywhere; "sluice status" says why`)}
	}
	return err
}

// each asks the agent to change one object after the other. Only an agent that is
// not there ends it early.
func each(objects []source, change func(source) error) error {
	var errs []error
	refused := 0
	for _, o := range objects {
		err := change(o)
		if errors.Is(err, rpc.ErrUnreachable) {
			return errors.Join(append(errs, err)...)
		}
		if err != nil {
			err = changeError(o, err)
			errs = append(errs, err)
		}
		if isRefusal(err) {
			refused++
		}
	}
	switch {
	case refused == 0:
	case refused == len(objects):
		errs = append(errs, &exitError{exitRefused, errors.New("refused; nothing changed")})
	default:
		errs = append(errs, &exitError{exitRefused, fmt.Errorf("%d of %d objects refused", refused, len(objects))})
	}
	return errors.Join(errs...)
}

// changeError says which object an agent's answer is about.
func changeError(o source, err error) error {
	if !strings.Contains(err.Error(), o.Ref.String()) {
		err = fmt.Errorf("%s: %w", o.Ref, err)
	}
	if o.from != "" {
		err = fmt.Errorf("%s: %w", o.from, err)
	}
	return err
}

// isRefusal tells an object that the agent does not take, and that has changed
// nothing, from a failure of the agent.
func isRefusal(err error) bool {
	var status *rpc.StatusError
	return errors.As(err, &status) && (status.Code < 500 || status.Code == 507)
}

func (c *command) delete() *cobra.Command {
	var files []string
	cmd := c.asks(&cobra.Command{
		Use:   "delete -f FILE|FOLDER|- | KIND NAMESPACE/NAME",
		Short: "Take objects out of force",
		Long: `Objects that come from the agent's manifests folder are deleted there. The name of
an object without a namespace is written alone.`,
		Example: `  sluice delete -f policy.yaml
  sluice delete NetworkPolicy shop/default-deny
  sluice delete Namespace shop`,
		Args: func(_ *cobra.Command, args []string) error {
			if (len(files) > 0) != (len(args) == 0) || len(args) != 0 && len(args) != 2 {
				return errors.New("name what to delete: -f FILE, or KIND NAMESPACE/NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				ref, err := parseRef(args[0], args[1])
				if err != nil {
					return err // of usage
				}
				c.running = true
				return c.deleteAll(cmd.Context(), cmd.OutOrStdout(), []source{{Object: &manifest.Object{Ref: ref}}})
			}
			c.running = true
			objects, err := readSources(files, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return c.deleteAll(cmd.Context(), cmd.OutOrStdout(), objects)
		},
	})
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "`file` of YAML or JSON, a folder of them, or - for standard input")
	return cmd
}

func (c *command) deleteAll(ctx context.Context, out io.Writer, objects []source) error {
	return each(objects, func(o source) error {
		reply, err := c.client().Delete(ctx, string(o.Ref.Kind), o.Ref.Namespace, o.Ref.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s deleted (revision %d, pods %d)\n", o.Ref, reply.Revision, reply.Pods)
		return nil
	})
}

// readSources reads every object, or says everything that is wrong.
func readSources(paths []string, stdin io.Reader) ([]source, error) {
	var objects []source
	var errs []error
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if files, err = manifestsIn(path); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			list, err := readSource(file, stdin)
			objects = append(objects, list...)
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, errors.New("no objects found in " + strings.Join(paths, ", "))
	}
	return objects, nil
}

func manifestsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	var files []string
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".yaml", ".yml", ".json":
			if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	return files, nil
}

func readSource(path string, stdin io.Reader) ([]source, error) {
	var data []byte
	var err error
	if path == "-" {
		path = "standard input"
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	docs, err := manifest.Split(data)
	if err != nil {
		return nil, &exitError{exitRefused, fmt.Errorf("%s: %w", path, err)}
	}
	var objects []source
	var errs []error
	for _, doc := range docs {
		obj, err := manifest.Parse(doc.Data)
		if err != nil {
			var field *policy.FieldError
			if errors.Is(err, manifest.ErrUnknownKind) && errors.As(err, &field) {
				err = field // says it all
			}
			from := fmt.Sprintf("%s: %s: ", path, doc)
			err = errors.New(from + strings.ReplaceAll(err.Error(), "\n", "\n"+from))
			errs = append(errs, &exitError{exitRefused, err})
			continue
		}
		objects = append(objects, source{obj, fmt.Sprintf("%s: %s", path, doc)})
	}
	return objects, errors.Join(errs...)
}
