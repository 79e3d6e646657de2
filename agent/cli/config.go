// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const (
	configKind       = "AgentConfiguration"
	configAPIVersion = "sluice.dev/v1alpha1"
)

// AgentConfig is everything that `sluice agent` can be told. A number of 0 leaves
// the default of what it sizes.
type AgentConfig struct {
	Manifests  string     `json:"manifests"`  // watched folder; empty: none
	Socket     string     `json:"socket"`     // of the API
	BPFFS      string     `json:"bpffs"`      // folder of the pins
	StateDir   string     `json:"stateDir"`   // records of pods, objects that were PUT
	CgroupRoot string     `json:"cgroupRoot"` // empty: found in mountinfo
	NodeName   string     `json:"nodeName"`
	Disable    []string   `json:"disable"` // optional enforcement points
	LogLevel   slog.Level `json:"logLevel"`
	LogFormat  string     `json:"logFormat"` // text or json
	Version    string     `json:"-"`

	// AntiSpoofing is Enforce, Audit or Off; EstablishedConnections Recheck or Keep.
	AntiSpoofing           string `json:"antiSpoofing"`
	EstablishedConnections string `json:"establishedConnections"`

	// Args says what is told of arguments: Full, Masked (the default) or Off. MaskPatterns
	// are regular expressions of further secrets.
	Args         string   `json:"args"`
	MaskPatterns []string `json:"maskPatterns"`
	// Events are what is told of every pod's processes: exec, fork, exit; nil is all.
	Events []string `json:"events"`

	Maps       MapSizes   `json:"maps"`
	FlowQuotas FlowQuotas `json:"flowQuotas"`
	Timeouts   Timeouts   `json:"timeouts"`
}

// MapSizes are the most entries that the kernel maps of a node hold.
type MapSizes struct {
	Flows     uint32 `json:"flows"`
	Processes uint32 `json:"processes"`
	Addresses uint32 `json:"addresses"` // of pods, exact
	Prefixes  uint32 `json:"prefixes"`  // of IP blocks
	Edges     uint32 `json:"edges"`     // rule set and peer
	Ports     uint32 `json:"ports"`     // port and program of an edge
	Permits   uint32 `json:"permits"`   // program and act that a list allows
	FileRules uint32 `json:"fileRules"` // path, operation and list of rules on files
}

// FlowQuotas are the most flows of one pod, by state.
type FlowQuotas struct {
	HalfOpen uint32 `json:"halfOpen"` // no reply yet
	Open     uint32 `json:"open"`
	Denied   uint32 `json:"denied"`
}

// Timeouts say how long a flow may be idle before the kernel ends it.
type Timeouts struct {
	TCP struct {
		HalfOpen metav1.Duration `json:"halfOpen"`
		Open     metav1.Duration `json:"open"`
		Closing  metav1.Duration `json:"closing"` // after a FIN or RST
	} `json:"tcp"`
	UDP struct {
		HalfOpen metav1.Duration `json:"halfOpen"` // no reply yet
		Open     metav1.Duration `json:"open"`
	} `json:"udp"`
	Other  metav1.Duration `json:"other"`
	Denied metav1.Duration `json:"denied"`
}

// load fills the configuration: flags and environment over the file over the
// defaults. cfg holds what flags says when it is called.
func (cfg *AgentConfig) load(path string, flags *pflag.FlagSet) error {
	if path != "" {
		given := make(map[*pflag.Flag]string)
		flags.Visit(func(f *pflag.Flag) { given[f] = f.Value.String() })
		disable := slices.Clone(cfg.Disable) // the file is read into cfg
		if err := cfg.readFile(path); err != nil {
			return err
		}
		for f, value := range given {
			if f.Name == "disable" { // a list flag would add to what is there
				cfg.Disable = disable
			} else if err := f.Value.Set(value); err != nil {
				return fmt.Errorf("--%s: %w", f.Name, err)
			}
		}
	}
	if cfg.NodeName == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find node name: %w; set --node-name", err)
		}
		cfg.NodeName = host
	}
	return cfg.validate()
}

func (cfg *AgentConfig) readFile(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := cfg.parse(data); err != nil {
		return fmt.Errorf("read configuration %s: %w", path, err)
	}
	return nil
}

// parse reads an AgentConfiguration over what cfg holds.
func (cfg *AgentConfig) parse(data []byte) error {
	file := struct {
		metav1.TypeMeta `json:",inline"`
		*AgentConfig    `json:",inline"`
	}{AgentConfig: cfg}
	data, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return err
	}
	unknown, err := kjson.UnmarshalStrict(data, &file)
	if err := errors.Join(append(unknown, err)...); err != nil {
		return err
	}
	if file.Kind != configKind || file.APIVersion != configAPIVersion {
		return fmt.Errorf("write kind: %s and apiVersion: %s", configKind, configAPIVersion)
	}
	return nil
}

func (cfg *AgentConfig) validate() error {
	var errs []error
	if cfg.LogFormat != "text" && cfg.LogFormat != "json" {
		errs = append(errs, fmt.Errorf("--log-format: %q: write text or json", cfg.LogFormat))
	}
	for flag, value := range map[string]string{"socket": cfg.Socket, "bpffs": cfg.BPFFS, "state-dir": cfg.StateDir} {
		if value == "" {
			errs = append(errs, fmt.Errorf("--%s: must not be empty", flag))
		}
	}
	if err := checkDisable(cfg.Disable); err != nil {
		errs = append(errs, err)
	}
	for field, enum := range map[string]struct {
		value   string
		allowed []string
	}{
		"antiSpoofing":           {cfg.AntiSpoofing, []string{"Enforce", "Audit", "Off"}},
		"establishedConnections": {cfg.EstablishedConnections, []string{"Recheck", "Keep"}},
		"args":                   {cfg.Args, []string{"Full", "Masked", "Off"}},
	} {
		if enum.value != "" && !slices.Contains(enum.allowed, enum.value) {
			errs = append(errs, fmt.Errorf("%s: %q: write %s", field, enum.value, strings.Join(enum.allowed, " or ")))
		}
	}
	for i, name := range cfg.Events {
		if !slices.Contains(ProcessEvents[:], name) {
			errs = append(errs, fmt.Errorf("events[%d]: %q: write %s", i, name, strings.Join(ProcessEvents[:], " or ")))
		}
	}
	for i, pattern := range cfg.MaskPatterns {
		if _, err := regexp.Compile(pattern); err != nil {
			errs = append(errs, fmt.Errorf("maskPatterns[%d]: %w", i, err))
		}
	}
	t := &cfg.Timeouts
	for field, value := range map[string]metav1.Duration{
		"tcp.halfOpen": t.TCP.HalfOpen, "tcp.open": t.TCP.Open, "tcp.closing": t.TCP.Closing,
		"udp.halfOpen": t.UDP.HalfOpen, "udp.open": t.UDP.Open, "other": t.Other, "denied": t.Denied,
	} {
		if value.Duration < 0 {
			errs = append(errs, fmt.Errorf("timeouts.%s: %s: must not be negative", field, value.Duration))
		}
	}
	return errors.Join(errs...)
}

// ProcessEvents are the types of events that need no rule.
var ProcessEvents = [...]string{"exec", "fork", "exit"}

// switches are the optional points that --disable may name.
var switches = [...]string{"syscalls", "scripts", "netfilter", "lsm"}

const disableHelp = "optional enforcement points to leave out: syscalls, scripts, netfilter, lsm"

func checkDisable(names []string) error {
	for _, name := range names {
		if !slices.Contains(switches[:], name) {
			return fmt.Errorf("--disable: %q is not an optional point; there are %s", name, strings.Join(switches[:], ", "))
		}
	}
	return nil
}
