// SPDX-License-Identifier: Apache-2.0

// Package metrics shows the kernel's counters to Prometheus: they are read from
// the maps at each scrape, so nothing is counted twice and nothing is lost while
// the agent is down.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-io/sluice/agent/datapath"
	"github.com/sluice-io/sluice/agent/rpc"
)

// Source is where a Collector reads.
type Source interface {
	Counters() (datapath.Counters, error)
	Brief() rpc.Status
	EventTotals() map[[2]string]uint64 // by type and outcome
	ActTotals() (map[rpc.ActKey]rpc.ActTotal, error)
}

// Collector is a prometheus.Collector over a Source.
type Collector struct {
	src                                                 Source
	flows, drops, spared, passed, events, lost, refused *prometheus.Desc
	mapEntries, mapMax, mapFull, pods, policies, scrape *prometheus.Desc
	acts, held, lifetimes, execs                        *prometheus.Desc
}

// New describes the metrics of INTERFACE.md.
func New(src Source) *Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sluice_"+name, help, labels, nil)
	}
	return &Collector{
		src:        src,
		flows:      desc("flows_total", "Flows judged.", "verdict", "direction", "reason"),
		drops:      desc("drops_total", "Frames dropped.", "reason"),
		spared:     desc("spared_total", "Frames and calls that passed because enforcement was off.", "reason"),
		passed:     desc("unjudged_frames_total", "Frames that passed where nothing isolates, without being judged.", "kind"),
		events:     desc("events_total", "Events by type and outcome since the agent started.", "type", "outcome"),
		acts:       desc("acts_total", "Acts that a rule does not allow.", "namespace", "pod", "type", "rule", "outcome"),
		held:       desc("acts_held_total", "Of these, told by no event: the rule had too many.", "namespace", "pod", "type", "rule", "outcome"),
		lost:       desc("events_lost_total", "Events lost for want of room.", "ring"),
		refused:    desc("refused_total", "Entries refused by what was full.", "what"),
		mapEntries: desc("map_entries", "Entries of a kernel map.", "map"),
		mapMax:     desc("map_max_entries", "Capacity of a kernel map.", "map"),
		mapFull:    desc("map_full_total", "Entries that a kernel map refused.", "map"),
		pods:       desc("pods", "Pods attached here.", "state"),
		policies:   desc("policies", "Policies.", "state"),
		lifetimes:  desc("process_lifetime_seconds", "From fork to exit of pods' processes."),
		execs:      desc("exec_judging_seconds", "Spent by the kernel's program on an exec in a pod: its record, its rules, its event."),
		scrape:     desc("scrape_failures", "1 if the kernel's counters could not be read."),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.flows, c.drops, c.spared, c.passed, c.events, c.lost, c.refused,
		c.mapEntries, c.mapMax, c.mapFull, c.pods, c.policies, c.scrape, c.acts, c.held, c.lifetimes, c.execs,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(v), labels...)
	}
	counters, err := c.src.Counters()
	acts, actsErr := c.src.ActTotals()
	failed := uint64(0)
	if err != nil || actsErr != nil {
		failed = 1
	}
	send(c.scrape, prometheus.GaugeValue, failed)
	if err == nil {
		ch <- histogram(c.lifetimes, counters.Lifetimes)
		ch <- histogram(c.execs, counters.Execs)
	}
	for _, t := range counters.Totals {
		send(c.flows, prometheus.CounterValue, t.Flows, t.Verdict, t.Direction, t.Reason)
	}
	for desc, values := range map[*prometheus.Desc]map[string]uint64{
		c.drops: counters.Drops, c.spared: counters.Spared, c.passed: counters.Oddities, c.lost: counters.Lost, c.refused: counters.Full,
	} {
		for label, n := range values {
			send(desc, prometheus.CounterValue, n, label)
		}
	}
	for key, n := range c.src.EventTotals() {
		send(c.events, prometheus.CounterValue, n, key[0], key[1])
	}
	for key, total := range acts {
		send(c.acts, prometheus.CounterValue, total.Acts, key.Pod.Namespace, key.Pod.Name, key.Type, key.Rule, key.Outcome)
		send(c.held, prometheus.CounterValue, total.Held, key.Pod.Namespace, key.Pod.Name, key.Type, key.Rule, key.Outcome)
	}
	status := c.src.Brief()
	for _, m := range status.Maps {
		send(c.mapEntries, prometheus.GaugeValue, m.Entries, m.Name)
		send(c.mapMax, prometheus.GaugeValue, m.Max, m.Name)
		send(c.mapFull, prometheus.CounterValue, m.Full, m.Name)
	}
	for state, n := range status.Pods {
		send(c.pods, prometheus.GaugeValue, uint64(n), state)
	}
	byState := map[string]uint64{}
	for _, p := range status.Policies {
		byState[p.State]++
	}
	for state, n := range byState {
		send(c.policies, prometheus.GaugeValue, n, state)
	}
}

// histogram gives what the kernel counted to Prometheus, whose buckets take in those
// before them, and are named in seconds.
func histogram(d *prometheus.Desc, h datapath.Histogram) prometheus.Metric {
	var count uint64
	buckets := make(map[float64]uint64, len(h.Counts))
	for i, n := range h.Counts {
		count += n
		if i < len(h.Counts)-1 {
			buckets[float64(uint64(1024)<<i)/1e9] = count
		}
	}
	return prometheus.MustNewConstHistogram(d, count, h.Sum.Seconds(), buckets)
}
