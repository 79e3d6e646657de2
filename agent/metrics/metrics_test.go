// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
)

// counted is a Source of what a test says.
type counted struct{ counters datapath.Counters }

func (c counted) Counters() (datapath.Counters, error)            { return c.counters, nil }
func (c counted) Brief() rpc.Status                               { return rpc.Status{} }
func (c counted) EventTotals() map[[2]string]uint64               { return nil }
func (c counted) ActTotals() (map[rpc.ActKey]rpc.ActTotal, error) { return nil, nil }

// Prometheus's buckets are cumulative, and the last one has no bound.
func TestHistogram(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(New(counted{datapath.Counters{
		Lifetimes: datapath.Histogram{Counts: []uint64{1, 0, 2, 4}, Sum: 1500 * time.Millisecond},
	}}))
	const want = `# HELP sluice_process_lifetime_seconds From fork to exit of pods' processes.
# TYPE sluice_process_lifetime_seconds histogram
sluice_process_lifetime_seconds_bucket{le="1.024e-06"} 1
sluice_process_lifetime_seconds_bucket{le="2.048e-06"} 1
sluice_process_lifetime_seconds_bucket{le="4.096e-06"} 3
sluice_process_lifetime_seconds_bucket{le="+Inf"} 7
sluice_process_lifetime_seconds_sum 1.5
sluice_process_lifetime_seconds_count 7
`
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if got := w.Body.String(); !strings.Contains(got, want) {
		t.Errorf("metrics:\n%swant among them:\n%s", got, want)
	}
}
