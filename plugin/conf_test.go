// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
)

func code(err error) uint {
	if e, ok := errors.AsType[*types.Error](err); ok {
		return e.Code
	}
	return 0
}

func TestParseConf(t *testing.T) {
	for stdin, says := range map[string]string{
		`{}`: "",
		`{"type": "sluice-cni", "unknown": {"a": [1]}, "ipam": {}}`:                      "",
		`{"socket": null, "timeout": "", "failurePolicy": "", "exemptNamespaces": null}`: "",
		`{"failurePolicy": "Open", "exemptNamespaces": ["a"], "timeout": "1m30s"}`:       "",
		`{"runtimeConfig": {"cgroupPath": "/a", "other": 1}}`:                            "",
		`{"failurePolicy": "open"}`:                                                      `field failurePolicy: "open"`,
		`{"timeout": 5}`:                                                                 "field timeout: must be a string, not number",
		`{"timeout": "5"}`:                                                               `field timeout: "5" is not a duration`,
		`{"timeout": "-1s"}`:                                                             "field timeout",
		`{"timeout": "0s"}`:                                                              "field timeout",
		`{"socket": "agent.sock"}`:                                                       `field socket: "agent.sock" is not an absolute path`,
		`{"bpffs": ["/a"]}`:                                                              "field bpffs: must be a string, not array",
		`{"stateDir": "."}`:                                                              "field stateDir",
		`{"cgroupRoot": "a"}`:                                                            "field cgroupRoot",
		`{"logFile": "a"}`:                                                               "field logFile",
		`{"exemptNamespaces": "a"}`:                                                      "field exemptNamespaces: must be an array, not string",
		`{"runtimeConfig": {"cgroupPath": 1}}`:                                           "field runtimeConfig.cgroupPath: must be a string, not number",
		`{"runtimeConfig": 1}`:                                                           "field runtimeConfig: must be an object, not number",
		`{"timeout": "x", "failurePolicy": "y"}`:                                         `field failurePolicy: "y" is none of Closed, Open, Fail; field timeout: "x"`,
	} {
		c, err := parseConf([]byte(stdin))
		if says == "" && err != nil || says != "" && (code(err) != 7 || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", stdin, err, says)
		}
		if c == nil || c.Bpffs == "" || c.StateDir == "" || c.Socket == "" {
			t.Errorf("%s: no defaults: %+v", stdin, c)
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := parseConf([]byte(`{"cniVersion": "1.0.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := conf{CNIVersion: "1.0.0", Socket: "/run/sluice/agent.sock", Bpffs: "/sys/fs/bpf/sluice",
		StateDir: "/var/lib/sluice", FailurePolicy: "Closed", Timeout: "5s", timeout: 5 * time.Second}
	if diff := cmp.Diff(want, *c, cmp.AllowUnexported(conf{})); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func FuzzParseConf(f *testing.F) {
	f.Add([]byte(`{"timeout": "5s", "failurePolicy": "Open", "runtimeConfig": {"cgroupPath": "/a"}}`))
	f.Add([]byte(`{"prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24", "interface": 7}]}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, stdin []byte) {
		c, err := parseConf(stdin)
		if err != nil && code(err) != 7 {
			t.Errorf("code %d: %v", code(err), err)
		}
		if c.Bpffs == "" || c.StateDir == "" || c.Socket == "" || c.FailurePolicy == "" {
			t.Errorf("no defaults: %+v", c)
		}
		for _, version := range []string{"0.4.0", "1.0.0", "1.1.0"} {
			c.CNIVersion = version
			prev, err := c.prevResult()
			if err == nil {
				addresses(prev, "eth0")
				var out bytes.Buffer
				if err := c.printResult(prev, &out); err == nil && !json.Valid(out.Bytes()) {
					t.Errorf("result is not JSON: %q", out.Bytes())
				}
			}
		}
		c.validAttachments()
	})
}

func TestParseArgs(t *testing.T) {
	for args, want := range map[string]struct {
		pod  podRef
		code uint
	}{
		"IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=c": {podRef{"a", "b", "c"}, 0},
		"K8S_POD_NAME=b;K8S_POD_NAMESPACE=a;odd;=;x=y=z":                   {podRef{"a", "b", ""}, 0},
		"":                                  {podRef{}, 4},
		"K8S_POD_NAMESPACE=a":               {podRef{"a", "", ""}, 4},
		"K8S_POD_NAME=b;K8S_POD_NAMESPACE=": {podRef{"", "b", ""}, 4},
	} {
		got, err := parseArgs(args)
		if got != want.pod || code(err) != want.code {
			t.Errorf("%q: %+v, %v", args, got, err)
		}
	}
}

func FuzzParseArgs(f *testing.F) {
	f.Add("IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=c")
	f.Add(";=;K8S_POD_NAME")
	f.Fuzz(func(t *testing.T, args string) {
		p, err := parseArgs(args)
		if (err == nil) != (p.namespace != "" && p.name != "") || err != nil && code(err) != 4 {
			t.Errorf("%q gives %+v, %v", args, p, err)
		}
	})
}

func TestPrintResult(t *testing.T) {
	const prev = `{"cniVersion": "1.0.0", "x": 1,  "ips": [{"address": "10.0.0.2/24"}]}`
	for version, want := range map[string]string{
		"1.0.0": prev, // as it came
		"0.4.0": `{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.0.0.2/24"}],"dns":{}}`,
	} {
		c := &conf{CNIVersion: "1.0.0", PrevResult: []byte(prev)}
		result, err := c.prevResult()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		c.CNIVersion = version
		if err := c.printResult(result, &out); err != nil {
			t.Fatal(err)
		}
		if version == "0.4.0" {
			var compact bytes.Buffer
			if err := json.Compact(&compact, out.Bytes()); err != nil {
				t.Fatal(err)
			}
			out = compact
		}
		if out.String() != want {
			t.Errorf("%s: %s, want %s", version, out.String(), want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for prev, want := range map[string][]string{
		`{"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}, {"address": "fd00::2/64"}]}`: {"10.0.0.2", "fd00::2"},
		`{"cniVersion": "1.0.0", "interfaces": [{"name": "v"}, {"name": "eth0", "sandbox": "/n"}, {"name": "eth1", "sandbox": "/n"}],
		  "ips": [{"address": "10.0.0.1/24", "interface": 0}, {"address": "10.0.0.2/24", "interface": 1},
		          {"address": "10.0.0.3/24", "interface": 2}, {"address": "10.0.0.4/24", "interface": 9}]}`: {"10.0.0.2"},
		`{"cniVersion": "1.0.0", "ips": [{"address": "::ffff:10.0.0.2/120"}]}`: {"10.0.0.2"},
		`{"cniVersion": "1.0.0"}`: nil,
	} {
		c := &conf{CNIVersion: "1.0.0", PrevResult: []byte(prev)}
		result, err := c.prevResult()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range addresses(result, "eth0") {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", prev, diff)
		}
	}
}
