// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
)

// What happens to a pod when the agent is away or late.
const (
	policyClosed = "Closed"
	policyOpen   = "Open"
	policyFail   = "Fail"
)

// errMismatch is the CNI error code of a CHECK that failed.
const errMismatch uint = 102

// conf is the plugin's conflist entry with what the runtime adds to it.
type conf struct {
	CNIVersion       string   `json:"cniVersion"`
	Name             string   `json:"name"` // of the network
	Socket           string   `json:"socket"`
	Bpffs            string   `json:"bpffs"`
	StateDir         string   `json:"stateDir"`
	CgroupRoot       string   `json:"cgroupRoot"`
	FailurePolicy    string   `json:"failurePolicy"`
	ExemptNamespaces []string `json:"exemptNamespaces"`
	Timeout          string   `json:"timeout"`
	LogFile          string   `json:"logFile"`
	RuntimeConfig    struct {
		CgroupPath string `json:"cgroupPath"`
	} `json:"runtimeConfig"`
	PrevResult       json.RawMessage `json:"prevResult"`
	ValidAttachments json.RawMessage `json:"cni.dev/valid-attachments"`

	timeout time.Duration
	log     *slog.Logger
}

func invalid(format string, args ...any) *types.Error {
	return types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf(format, args...), "")
}

func tryAgain(err error) *types.Error {
	return types.NewError(types.ErrTryAgainLater, err.Error(), "")
}

// parseConf reads the configuration; unknown fields are ignored. With an error,
// which names what is wrong, the configuration has defaults in its place.
func parseConf(stdin []byte) (*conf, error) {
	c := new(conf)
	var wrong []string
	if err := json.Unmarshal(stdin, c); err != nil {
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
			err = fmt.Errorf("field %s: must be %s, not %s", t.Field, jsonName(t), t.Value)
		}
		wrong = append(wrong, err.Error())
	}
	wrong = append(wrong, c.settlePaths()...)
	wrong = append(wrong, c.settlePolicy()...)
	if wrong != nil {
		return c, invalid("%s", strings.Join(wrong, "; "))
	}
	return c, nil
}

// settlePaths puts defaults where there is no absolute path, and says what is wrong.
func (c *conf) settlePaths() (wrong []string) {
	for _, f := range []struct {
		name     string
		value    *string
		fallback string
	}{
		{"socket", &c.Socket, "/run/sluice/agent.sock"},
		{"bpffs", &c.Bpffs, "/sys/fs/bpf/sluice"},
		{"stateDir", &c.StateDir, "/var/lib/sluice"},
		{"cgroupRoot", &c.CgroupRoot, ""},
		{"logFile", &c.LogFile, ""},
	} {
		if *f.value != "" && !filepath.IsAbs(*f.value) {
			wrong = append(wrong, fmt.Sprintf("field %s: %q is not an absolute path", f.name, *f.value))
			*f.value = ""
		}
		if *f.value == "" {
			*f.value = f.fallback
		}
	}
	return wrong
}

// settlePolicy puts defaults where nothing is said, and says what is wrong.
func (c *conf) settlePolicy() (wrong []string) {
	switch c.FailurePolicy {
	case policyClosed, policyOpen, policyFail:
	case "":
		c.FailurePolicy = policyClosed
	default:
		wrong = append(wrong, fmt.Sprintf("field failurePolicy: %q is none of Closed, Open, Fail", c.FailurePolicy))
		c.FailurePolicy = policyClosed
	}
	if c.Timeout == "" {
		c.Timeout = "5s"
	}
	var err error
	if c.timeout, err = time.ParseDuration(c.Timeout); err != nil || c.timeout <= 0 {
		wrong = append(wrong, fmt.Sprintf("field timeout: %q is not a duration above zero, such as 5s", c.Timeout))
	}
	return wrong
}

// jsonName is what JSON calls the type that a field must have.
func jsonName(t *json.UnmarshalTypeError) string {
	switch t.Type.Kind() {
	case reflect.Slice:
		return "an array"
	case reflect.Struct:
		return "an object"
	}
	return "a string"
}

// opens says whether the pods of a namespace are open instead of closed.
func (c *conf) opens(namespace string) bool {
	return c.FailurePolicy == policyOpen || slices.Contains(c.ExemptNamespaces, namespace)
}

// prevResult is the result of the plugins before this one.
func (c *conf) prevResult() (*types100.Result, error) {
	if isNull(c.PrevResult) {
		return nil, invalid("prevResult is missing: sluice-cni must be chained after a plugin that makes the interface")
	}
	result, err := create.Create(c.CNIVersion, c.PrevResult)
	if err != nil {
		return nil, invalid("field prevResult: %v", err)
	}
	prev, err := types100.NewResultFromResult(result)
	if err != nil {
		return nil, invalid("field prevResult: %v", err)
	}
	return prev, nil
}

// printResult passes prevResult on: as it came, if it is of the asked version.
func (c *conf) printResult(prev *types100.Result, stdout io.Writer) error {
	var head struct {
		CNIVersion string `json:"cniVersion"`
	}
	if err := json.Unmarshal(c.PrevResult, &head); err == nil && head.CNIVersion == c.CNIVersion {
		_, err := stdout.Write(c.PrevResult)
		return err
	}
	result, err := prev.GetAsVersion(c.CNIVersion)
	if err != nil {
		return fmt.Errorf("convert prevResult: %w", err)
	}
	return result.PrintTo(stdout)
}

// validAttachments are those that GC must keep. A list that is missing would take
// down every gate of the node, so it is an error.
func (c *conf) validAttachments() ([]types.GCAttachment, error) {
	if c.ValidAttachments == nil {
		return nil, invalid("field cni.dev/valid-attachments is missing")
	}
	var valid []types.GCAttachment
	if err := json.Unmarshal(c.ValidAttachments, &valid); err != nil {
		return nil, invalid("field cni.dev/valid-attachments: %v", err)
	}
	return valid, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// podRef names the pod, as the runtime knows it.
type podRef struct{ namespace, name, uid string }

// parseArgs reads CNI_ARGS. What it does not know it ignores.
func parseArgs(args string) (podRef, error) {
	var p podRef
	for pair := range strings.SplitSeq(args, ";") {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "K8S_POD_NAMESPACE":
			p.namespace = value
		case "K8S_POD_NAME":
			p.name = value
		case "K8S_POD_UID":
			p.uid = value
		}
	}
	var missing []string
	if p.namespace == "" {
		missing = append(missing, "K8S_POD_NAMESPACE")
	}
	if p.name == "" {
		missing = append(missing, "K8S_POD_NAME")
	}
	if missing != nil {
		return p, types.NewError(types.ErrInvalidEnvironmentVariables,
			"CNI_ARGS lacks "+strings.Join(missing, " and "), "")
	}
	return p, nil
}
