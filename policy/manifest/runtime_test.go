// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/policy"
)

func programs(paths ...string) (out []policy.Process) {
	for _, p := range paths {
		out = append(out, policy.Process{Path: p})
	}
	return out
}

func TestParseRuntimeRules(t *testing.T) {
	const sum = "0123456789abcdefABCDEF6789abcdef0123456789abcdef0123456789abcdef"
	raw := "\x01\x23\x45\x67\x89\xab\xcd\xef\xab\xcd\xef\x67\x89\xab\xcd\xef" + "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"
	longest := "/" + strings.Repeat("a", 252) + "/*"
	path := func(p string) policy.ExecRule { return policy.ExecRule{Process: policy.Process{Path: p}} }
	for name, tc := range map[string]struct {
		spec string
		want policy.WorkloadPolicy
	}{
		"fallback":   {"{fallback: Close}", policy.WorkloadPolicy{Fallback: policy.Close}},
		"null":       {"{exec: null, capabilities: null, files: null}", policy.WorkloadPolicy{}},
		"empty":      {"{exec: {}, capabilities: {}, files: {}}", policy.WorkloadPolicy{Exec: &policy.Exec{Action: policy.Prevent}, Capabilities: &policy.Capabilities{Action: policy.Prevent}}},
		"no imports": {"{exec: {imageOnly: false, action: Deny}}", policy.WorkloadPolicy{Exec: &policy.Exec{Action: policy.Prevent}}},
		"image only": {"{exec: {imageOnly: true}}", policy.WorkloadPolicy{Exec: &policy.Exec{ImageOnly: true, Action: policy.Prevent}}},
		"exec": {"{exec: {action: Kill, allow: [{path: /bin/sh, parents: [{path: /usr/bin/payments}, {path: /opt/*}]}, {path: /bin/sh}, {path: /bin/sh, sha256: " + sum + "}]}}",
			policy.WorkloadPolicy{Exec: &policy.Exec{Action: policy.Kill, Allow: []policy.ExecRule{
				{Process: policy.Process{Path: "/bin/sh"}, Parents: programs("/usr/bin/payments", "/opt/*")},
				path("/bin/sh"),
				{Process: policy.Process{Path: "/bin/sh"}, SHA256: raw},
			}}}},
		"patterns": {"{exec: {action: Audit, allow: [{path: /usr/**}, {path: /usr/bin/*}, {path: /**}, {path: /*}, {path: " + longest + `}, {path: "/usr/bin/["}]}}`,
			policy.WorkloadPolicy{Exec: &policy.Exec{Action: policy.Report, Allow: []policy.ExecRule{
				path("/usr/**"), path("/usr/bin/*"), path("/**"), path("/*"), path(longest), path("/usr/bin/["),
			}}}},
		"capabilities": {"{capabilities: {action: Kill, allow: [{names: [NET_BIND_SERVICE]}, {names: [CHOWN, CHECKPOINT_RESTORE], processes: [{path: /usr/bin/ping}]}]}}",
			policy.WorkloadPolicy{Capabilities: &policy.Capabilities{Action: policy.Kill, Allow: []policy.CapabilityRule{
				{Names: 1 << 10}, {Names: 1 | 1<<40, Processes: programs("/usr/bin/ping")},
			}}}},
		"files": {`{files: {rules: [{paths: [/etc/shadow, "/run/secrets/**"], operations: [Read, Write], allow: [{path: /usr/bin/payments}], action: Audit}, {paths: [/bin/*], operations: [Create, Delete, Rename, Link, Chmod, Chown, MountOver, MmapExec, Truncate]}]}}`,
			policy.WorkloadPolicy{Files: []policy.FileRule{
				{Paths: []string{"/etc/shadow", "/run/secrets/**"}, Operations: policy.OpRead | policy.OpWrite, Allow: programs("/usr/bin/payments"), Action: policy.Report},
				{Paths: []string{"/bin/*"}, Operations: 1<<11 - 1 - policy.OpRead - policy.OpWrite, Action: policy.Prevent},
			}}},
		"one path, other operations": {"{files: {rules: [{paths: [/a], operations: [Read], action: Audit}, {paths: [/a], operations: [Write]}, {paths: [/a], operations: [Write, Link]}]}}",
			policy.WorkloadPolicy{Files: []policy.FileRule{
				{Paths: []string{"/a"}, Operations: policy.OpRead, Action: policy.Report},
				{Paths: []string{"/a"}, Operations: policy.OpWrite, Action: policy.Prevent},
				{Paths: []string{"/a"}, Operations: policy.OpWrite | policy.OpLink, Action: policy.Prevent},
			}}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Namespace, tc.want.Name = "b", "a"
			tc.want.Mode, tc.want.DenyResponse = policy.Enforce, policy.Errno
			if tc.want.Fallback == "" {
				tc.want.Fallback = policy.Observe
			}
			wantValue(t, workloadPolicy(tc.spec), &tc.want)
		})
	}
}

func TestParseRefusesRuntimeRules(t *testing.T) {
	const removeIt = ": not supported by this version; remove it"
	exec := func(entry string) string { return "{exec: {allow: [{path: /a}, " + entry + "]}}" }
	capabilities := func(entry string) string { return "{capabilities: {allow: [" + entry + "]}}" }
	file := func(rules string) string { return "{files: {rules: [" + rules + "]}}" }
	const entry, capability, rule = "spec.exec.allow[1]", "spec.capabilities.allow[0]", "spec.files.rules[0]"
	long := "/" + strings.Repeat("a", 252) + "/**"
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"image only":             {"{exec: {imageOnly: true, allow: [{path: /b}]}}", []string{"spec.exec.imageOnly=true: remove one of the two"}},
		"exec action":            {"{exec: {action: Ignore}}", []string{"spec.exec.action=Ignore: write Deny, Kill or Audit"}},
		"interpreter":            {exec("{path: /a.py, interpreter: /usr/bin/python3}"), []string{entry + ".interpreter" + removeIt}},
		"parent's interpreter":   {exec("{path: /b, parents: [{path: /a.py, interpreter: /b}]}"), []string{entry + ".parents[0].interpreter" + removeIt}},
		"no path":                {exec("{parents: []}"), []string{entry + ".path: required"}},
		"relative":               {exec("{path: bin/sh}"), []string{entry + ".path=bin/sh: not an absolute path"}},
		"dots":                   {exec("{path: /usr/../bin/sh}"), []string{entry + ".path: .."}},
		"folder":                 {exec("{path: /usr/bin/}"), []string{entry + ".path: not an absolute path"}},
		"star in the middle":     {exec("{path: /usr/*/sh}"), []string{entry + ".path=/usr/*/sh: at the end"}},
		"star in a name":         {exec("{path: /usr/bin/python*}"), []string{entry + ".path: at the end"}},
		"two patterns":           {exec("{path: /usr/**/*}"), []string{entry + ".path: at the end"}},
		"three stars":            {exec("{path: /usr/***}"), []string{entry + ".path: at the end"}},
		"stars alone":            {exec("{path: '**'}"), []string{entry + ".path: at the end"}},
		"relative pattern":       {exec("{path: usr/*}"), []string{entry + ".path=usr/*: not an absolute path of a folder"}},
		"dots in a pattern":      {exec("{path: /usr/./**}"), []string{entry + ".path: not an absolute path of a folder"}},
		"two slashes":            {exec("{path: /usr//*}"), []string{entry + ".path: not an absolute path of a folder"}},
		"two slashes alone":      {exec("{path: //*}"), []string{entry + ".path: not an absolute path of a folder"}},
		"NUL":                    {exec(`{path: "/a\0/*"}`), []string{entry + ".path: not an absolute path of a folder"}},
		"long pattern":           {exec("{path: " + long + "}"), []string{entry + ".path: longer than 255 bytes"}},
		"parent":                 {exec("{path: /b, parents: [{path: /ok/*}, {path: sh}]}"), []string{entry + ".parents[1].path=sh"}},
		"sum of 63 digits":       {exec("{path: /b, sha256: " + strings.Repeat("a", 63) + "}"), []string{entry + ".sha256: 64 hex digits"}},
		"sum of 66 digits":       {exec("{path: /b, sha256: " + strings.Repeat("a", 66) + "}"), []string{entry + ".sha256: 64 hex digits"}},
		"no sum":                 {exec("{path: /b, sha256: " + strings.Repeat("x", 64) + "}"), []string{entry + ".sha256: 64 hex digits"}},
		"sum of a pattern":       {exec("{path: /b/*, sha256: " + strings.Repeat("a", 64) + "}"), []string{entry + ".sha256: the path is a pattern"}},
		"entry twice":            {exec("{path: /b, parents: [{path: /a}]}, {path: /b, parents: [{path: /a}]}, {path: /a}"), []string{"spec.exec.allow[2]=/b: more than once", "spec.exec.allow[3]=/a: more than once"}},
		"parent twice":           {exec("{path: /b, parents: [{path: /a}, {path: /a}]}"), []string{entry + ".parents[1]=/a: more than once"}},
		"no names":               {capabilities("{processes: [{path: /a}]}"), []string{capability + ".names: required"}},
		"CAP_":                   {capabilities("{names: [CHOWN, CAP_NET_RAW]}"), []string{capability + ".names[1]=CAP_NET_RAW: write NET_RAW"}},
		"unknown capability":     {capabilities("{names: [NET_ROW, net_raw, '13']}"), []string{capability + ".names[0]=NET_ROW: unknown", capability + ".names[1]=net_raw: unknown", capability + ".names[2]=13: unknown"}},
		"name twice":             {capabilities("{names: [NET_RAW, CHOWN, NET_RAW]}"), []string{capability + ".names[2]=NET_RAW: more than once"}},
		"its process":            {capabilities("{names: [NET_RAW], processes: [{path: ping}]}"), []string{capability + ".processes[0].path=ping"}},
		"capabilities action":    {"{capabilities: {action: kill}}", []string{"spec.capabilities.action=kill: write Deny, Kill or Audit"}},
		"no paths":               {file("{operations: [Read]}"), []string{rule + ".paths: required"}},
		"no operations":          {file("{paths: [/a], operations: []}"), []string{rule + ".operations: required"}},
		"unknown operation":      {file("{paths: [/a], operations: [Read, Execute, read]}"), []string{rule + ".operations[1]=Execute: MmapExec", rule + ".operations[2]=read"}},
		"operation twice":        {file("{paths: [/a], operations: [Read, Read]}"), []string{rule + ".operations[1]=Read: more than once"}},
		"path twice":             {file("{paths: [/a/*, /b, /a/*], operations: [Read]}"), []string{rule + ".paths[2]=/a/*: more than once"}},
		"file's path":            {file("{paths: [/a, etc/shadow, /], operations: [Read]}"), []string{rule + ".paths[1]=etc/shadow", rule + ".paths[2]=/"}},
		"file's program":         {file("{paths: [/a], operations: [Read], allow: [{path: cat, interpreter: /sh}]}"), []string{rule + ".allow[0].interpreter", rule + ".allow[0].path"}},
		"file's pattern":         {file("{paths: [/etc/*.key, '/**/key', 'run/**', /run/./**], operations: [Read]}"), []string{rule + ".paths[0]: at the end", rule + ".paths[1]: at the end", rule + ".paths[2]=run/**: not an absolute path of a folder", rule + ".paths[3]: not an absolute path of a folder"}},
		"long path of a file":    {file("{paths: [" + long + ", " + long[:len(long)-2] + "aa], operations: [Read]}"), []string{rule + ".paths[0]: longer than 255 bytes", rule + ".paths[1]: longer than 255 bytes"}},
		"files action":           {file("{paths: [/a], operations: [Read], action: Close}"), []string{rule + ".action=Close"}},
		"field of network rules": {file("{paths: [/a], operations: [Read], processes: []}"), []string{rule + ".processes: unknown field"}},
		"contradiction": {file("{paths: [/a, /b], operations: [Read, Link]}, {paths: [/c, /b], operations: [Link, Write], action: Kill}"),
			[]string{"spec.files.rules[1].paths[1]=/b: Link is Deny in rules[0] and Kill here"}},
		"contradiction in audit": {file("{paths: [/a/*], operations: [Read], action: Audit}, {paths: [/a], operations: [Read]}, {paths: [/a/*], operations: [Read]}"),
			[]string{"spec.files.rules[2].paths[0]=/a/*: Read is Audit in rules[0] and Deny here"}},
	} {
		t.Run(name, func(t *testing.T) { wantFields(t, workloadPolicy(tc.spec), tc.want...) })
	}
}

// TestPatternBound: a policy has at most 256 patterns, wherever they stand in it.
func TestPatternBound(t *testing.T) {
	spec := func(entries, paths int) string {
		var b bytes.Buffer
		b.WriteString("{exec: {allow: [{path: /bin/sh}")
		for i := range entries {
			fmt.Fprintf(&b, ", {path: /p%d/*}", i)
		}
		b.WriteString("]}, files: {rules: [{operations: [Read], paths: [/etc/shadow")
		for i := range paths {
			fmt.Fprintf(&b, ", /f%d/**", i)
		}
		b.WriteString("]}]}}")
		return workloadPolicy(b.String())
	}
	mustParse(t, spec(100, 156))
	wantFields(t, spec(100, 158), "spec.files.rules[0].paths[157]=/f156/**: at most 256 patterns")
	wantFields(t, spec(300, 0), "spec.exec.allow[257].path=/p256/*: at most 256 patterns")
}
