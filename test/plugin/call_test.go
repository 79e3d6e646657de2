// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sluice-io/sluice/test/harness"
)

// entry is the node's conflist entry of sluice-cni as libcni hands it over, with
// further fields.
func entry(tb testing.TB, n *harness.Node, more map[string]any) []byte {
	tb.Helper()
	b, err := os.ReadFile(n.Conflist)
	if err != nil {
		tb.Fatal(err)
	}
	var list struct {
		Plugins []map[string]any `json:"plugins"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		tb.Fatal(err)
	}
	e := list.Plugins[len(list.Plugins)-1]
	e["name"], e["cniVersion"] = "sluice", "1.1.0"
	maps.Copy(e, more)
	if b, err = json.Marshal(e); err != nil {
		tb.Fatal(err)
	}
	return b
}

// call runs sluice-cni alone, without libcni, for a pod.
func call(tb testing.TB, n *harness.Node, p *harness.Pod, command string, more map[string]any) ([]byte, error) {
	tb.Helper()
	return callRaw(tb, n, entry(tb, n, more), "CNI_COMMAND="+command, "CNI_CONTAINERID="+p.ContainerID,
		"CNI_NETNS="+p.Netns, "CNI_IFNAME="+p.IfName,
		"CNI_ARGS=K8S_POD_NAMESPACE="+p.Spec.Namespace+";K8S_POD_NAME="+p.Spec.Name+";K8S_POD_UID="+p.Spec.UID)
}

func callRaw(tb testing.TB, n *harness.Node, stdin []byte, env ...string) ([]byte, error) {
	tb.Helper()
	cmd := n.Command(tb.Context(), filepath.Join(binaries, "sluice-cni"))
	cmd.Env = append(env, "CNI_PATH="+binaries)
	cmd.Stdin = strings.NewReader(string(stdin))
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	e := new(types.Error)
	if json.Unmarshal(out, e) != nil {
		return out, fmt.Errorf("%w: no CNI error on stdout: %q", err, out)
	}
	return out, e
}

func mustListen(tb testing.TB, socket string) net.Listener {
	tb.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestRefusals(t *testing.T) {
	n := mustNode(t, harness.Config{})
	s := mustInstall(t, n, small)
	p, err := n.NewPod(harness.PodSpec{})
	if err != nil {
		t.Fatal(err)
	}
	result := map[string]any{"cniVersion": "1.1.0", "ips": []any{}}
	good := entry(t, n, map[string]any{"prevResult": result})
	for name, test := range map[string]struct {
		stdin []byte
		netns string
		args  string
		iface string
		code  uint
		says  string
	}{
		"stdin empty":         {stdin: []byte{}, code: 6},
		"stdin cut":           {stdin: good[:len(good)/2], code: 6},
		"stdin not an object": {stdin: []byte(`[1]`), code: 6},
		"wrong type":          {stdin: entry(t, n, map[string]any{"timeout": 5, "prevResult": result}), code: 7, says: "timeout"},
		"wrong value":         {stdin: entry(t, n, map[string]any{"failurePolicy": "Maybe", "prevResult": result}), code: 7, says: "failurePolicy"},
		"no prevResult":       {stdin: entry(t, n, nil), code: 7, says: "prevResult"},
		"prevResult null":     {stdin: entry(t, n, map[string]any{"prevResult": nil}), code: 7, says: "prevResult"},
		"prevResult odd":      {stdin: entry(t, n, map[string]any{"prevResult": []int{1}}), code: 7, says: "prevResult"},
		"no pod name":         {args: "K8S_POD_NAMESPACE=a", code: 4, says: "K8S_POD_NAME"},
		"netns vanished":      {netns: filepath.Join(n.Root, "gone"), code: 8, says: "network namespace"},
		"netns not one":       {netns: n.Conflist, code: 8, says: "network namespace"},
		"netns of the node":   {netns: n.Netns, code: 8, says: "network namespace"},
		"no interface":        {code: 7, says: "eth0"},
		"loopback":            {iface: "lo", code: 7, says: "it is the loopback interface"},
		"version not known":   {stdin: entry(t, n, map[string]any{"cniVersion": "0.2.0"}), code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if test.stdin == nil {
				test.stdin = good
			}
			if test.netns == "" {
				test.netns = p.Netns
			}
			if test.args == "" {
				test.args = "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b"
			}
			_, err := callRaw(t, n, test.stdin, "CNI_COMMAND=ADD", "CNI_CONTAINERID=c", "CNI_IFNAME="+cmp.Or(test.iface, "eth0"),
				"CNI_NETNS="+test.netns, "CNI_ARGS="+test.args)
			if code(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("ADD gave %v, want code %d and %q", err, test.code, test.says)
			}
			if l := left(t, n); l != nil || len(slots(t, s)) != 0 {
				t.Errorf("left behind: %v %v", l, slots(t, s))
			}
		})
	}
}
