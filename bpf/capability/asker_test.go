// SPDX-License-Identifier: Apache-2.0

package capability

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAskersIn(t *testing.T) {
	const symbols = `0000000000000010 T ns_capable
0000000000000030 T capable
0000000000000020 T ns_capable_noaudit
0000000000000020 t alias
0000000000000038 t last
0000000000000039 t capable	[module]
`
	got, err := askersIn(strings.NewReader(symbols))
	if err != nil {
		t.Fatal(err)
	}
	want := []capabilitySpan{{From: 0x10, To: 0x20}, {From: 0x30, To: 0x38}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	hidden, err := askersIn(strings.NewReader("0000000000000000 T capable\n0000000000000000 T last\n"))
	if err != nil || len(hidden) != 0 {
		t.Errorf("hidden symbols: %v, %v", hidden, err)
	}
}
