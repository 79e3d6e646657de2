/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map, with its writer. The sizes here are defaults; bpf/state sets them
 * from its Config before the maps are made.
 */
#ifndef SLUICE_MAPS_H
#define SLUICE_MAPS_H

#include "kernel.h"
#include "types.h"

#define MAX_PODS 1024
#define MAX_ADDRS 131072
#define MAX_FORMERS 2048
#define MAX_PREFIXES 65536
#define MAX_RULESETS 8192
#define MAX_EDGES 262144
#define MAX_PORTS 131072
#define MAX_PROCESS_KEYS 32768
#define MAX_PATHS 4096
#define MAX_PROGRAMS 32768
#define MAX_CGROUPS 16384
#define MAX_SOURCES 4096
#define MAX_SERVICES 16384
#define MAX_PROCS 16384
#define MAX_PERMITS 65536
#define MAX_FOLDERS 4096
#define MAX_FILE_RULES 65536
#define MAX_PLACES 32768
#define MAX_TOUCHED 16384
#define MAX_TALLIES 16384
#define MAX_BUCKETS 8192
#define MAX_SAMPLES 16384
#define MAX_FLOWS 131073 /* one above a power of two: twice the buckets, a miss walks half as far */
#define SECOND 1000000000ULL /* ns */
#define RING_BYTES (1 << 20)

#define FRAGMENTS_EACH 32 /* datagrams of a pod that are in the midst of arriving */

#define HASH(NAME, KEY, VALUE, MAX, FLAGS)                                                                             \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_HASH);                                                                       \
		__type(key, KEY);                                                                                      \
		__type(value, VALUE);                                                                                  \
		__uint(max_entries, MAX);                                                                              \
		__uint(map_flags, FLAGS);                                                                              \
	} NAME SEC(".maps")

#define ARRAY(NAME, TYPE, VALUE, MAX)                                                                                  \
	struct {                                                                                                       \
		__uint(type, TYPE);                                                                                    \
		__type(key, __u32);                                                                                    \
		__type(value, VALUE);                                                                                  \
		__uint(max_entries, MAX);                                                                              \
	} NAME SEC(".maps")

#define RING(NAME, VALUE)                                                                                              \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                                    \
		__uint(max_entries, RING_BYTES);                                                                       \
	} NAME SEC(".maps")

/* Identity: written at CNI ADD and DEL, under the state folder's lock. */
ARRAY(pods, BPF_MAP_TYPE_ARRAY, struct pod, MAX_PODS);
HASH(doors, __u32, struct doorway, MAX_PODS, 0); /* by ifindex */
HASH(netnses, __u64, __u32, MAX_PODS, 0); /* cookie to slot */
HASH(owners, struct addr, __u32, 4 * MAX_PODS, 0); /* own address to slot */

ARRAY(sequence, BPF_MAP_TYPE_ARRAY, __u32, 1); /* the last pod id given */

/* Roots are written at CNI ADD; what is created below them, by cgroup_mkdir. */
HASH(cgroups, __u64, struct cgroup_pod, MAX_CGROUPS, 0);

/* Policy: written by the agent; rules[slot] is set to closed or open at ADD. */
ARRAY(rules, BPF_MAP_TYPE_ARRAY, struct assignment, MAX_PODS);
HASH(rulesets, __u32, struct ruleset, MAX_RULESETS, BPF_F_NO_PREALLOC);
HASH(edges, struct edge, struct port_set, MAX_EDGES, BPF_F_NO_PREALLOC);
HASH(ports, struct port_key, struct grant, MAX_PORTS, BPF_F_NO_PREALLOC);
HASH(processes, struct process_key, __u32, MAX_PROCESS_KEYS, BPF_F_NO_PREALLOC);
HASH(peers, struct addr, __u32, MAX_ADDRS, BPF_F_NO_PREALLOC); /* address to class */
HASH(formers, struct former_key, struct former, MAX_FORMERS, BPF_F_NO_PREALLOC);
HASH(paths, struct path_key, __u32, MAX_PATHS, BPF_F_NO_PREALLOC); /* path to program */
HASH(programs, struct program, __u32, MAX_PROGRAMS, BPF_F_NO_PREALLOC); /* file to program */
ARRAY(settings, BPF_MAP_TYPE_ARRAY, struct node, 1);
HASH(resolved, __u64, __u32, MAX_CGROUPS, BPF_F_NO_PREALLOC); /* containers in programs: enum resolved, or-ed */

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct prefix);
	__type(value, __u32);
	__uint(max_entries, MAX_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} prefixes SEC(".maps"); /* CIDR to class */

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct source);
	__type(value, __u32);
	__uint(max_entries, MAX_SOURCES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} sources SEC(".maps"); /* allowedSources, by pod id */

HASH(permits, struct permit, __u32, MAX_PERMITS, BPF_F_NO_PREALLOC); /* act to the rule that allows it */

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct folder_key);
	__type(value, struct folder);
	__uint(max_entries, MAX_FOLDERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} folders SEC(".maps"); /* path patterns to programs */

HASH(file_rules, struct file_key, struct runtime_head, MAX_FILE_RULES, BPF_F_NO_PREALLOC);
HASH(places, struct program, struct folder, MAX_PLACES, BPF_F_NO_PREALLOC); /* folders as seen in one container */

HASH(services, struct addr, __u32, MAX_SERVICES, BPF_F_NO_PREALLOC); /* addresses of Services */
HASH(node_ports, struct node_port, __u32, MAX_SERVICES, BPF_F_NO_PREALLOC);
HASH(node_addrs, struct addr, __u32, MAX_PODS, BPF_F_NO_PREALLOC); /* of this node */
HASH(departed, struct addr, __u32, MAX_ADDRS, BPF_F_NO_PREALLOC); /* addresses that changed hands, for door_depart */
ARRAY(deferrals, BPF_MAP_TYPE_ARRAY, __u32, MAX_PODS); /* pod id: its flows are seen after DNAT */

/* State: written by the kernel alone. */
HASH(flows, struct flow_key, struct flow, MAX_FLOWS, 0);
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__type(value, struct aged);
	__uint(max_entries, 2 * MAX_FLOWS);
} aging SEC(".maps"); /* every flow, the one longest not had in hand first */
ARRAY(fragments, BPF_MAP_TYPE_ARRAY, struct fragment, MAX_PODS *FRAGMENTS_EACH);
ARRAY(reapers, BPF_MAP_TYPE_ARRAY, struct reaper, 1);
ARRAY(counts, BPF_MAP_TYPE_ARRAY, struct count, MAX_PODS);
HASH(procs, __u32, struct proc, MAX_PROCS, 0); /* by tgid */
HASH(thread_creds, __u32, struct creds, MAX_PROCS, BPF_F_NO_PREALLOC); /* by tid, where lowered */
/*
 * Children of judged processes for whom procs had no room: never judged more
 * mildly for that. Bounded by the tasks themselves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__type(key, int);
	__type(value, struct orphan);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} orphans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__type(key, int);
	__type(value, struct script);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} scripts SEC(".maps"); /* from sched_prepare_exec to sched_process_exec */

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__type(key, int);
	__type(value, struct proc);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} attempts SEC(".maps"); /* what an exec would make of a process, while it is judged */

/* Of acts that rules do not allow; the agent removes those of pods that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct tally_key);
	__type(value, struct tally);
	__uint(max_entries, MAX_TALLIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} tallies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct bucket_key);
	__type(value, __u64);
	__uint(max_entries, MAX_BUCKETS);
} buckets SEC(".maps"); /* until when a bucket's events are spoken for; CLOCK_BOOTTIME, ns */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct sample_key);
	__type(value, __u32);
	__uint(max_entries, MAX_SAMPLES);
} samples SEC(".maps"); /* one of each is told */

HASH(containers, __u64, struct container, MAX_CGROUPS, BPF_F_NO_PREALLOC);
HASH(touched, struct touched_key, struct touched_at, MAX_TOUCHED,
     BPF_F_NO_PREALLOC); /* the agent removes those of containers that are gone */
HASH(fresh, __u64, __u32, MAX_CGROUPS, BPF_F_NO_PREALLOC); /* cgroups nobody has run in yet */

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__type(key, __u32);
	__type(value, struct stamp);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} stamps SEC(".maps"); /* of an accepted socket, the listener's counts until another uses it */

ARRAY(subscribed, BPF_MAP_TYPE_ARRAY, __u32,
      MAX_PODS); /* enum telling by slot, beside what settings say; by the agent */

/* Events, and counters that do not depend on room in a ring. */
RING(flow_ring, struct flow_event);
RING(process_ring, struct process_event);
RING(enforce_ring, struct escalation_event); /* and struct act_event */

enum lost { LOST_FLOW, LOST_PROCESS, LOST_ENFORCE, LOSTS };
enum full {
	FULL_FLOWS,
	FULL_FLOW_QUOTA,
	FULL_PROCS,
	FULL_THREAD_CREDS,
	FULL_CGROUPS,
	FULL_CONTAINERS,
	FULL_FRESH,
	FULL_STAMPS,
	FULL_AGING,
	FULL_SCRIPTS,
	FULL_ATTEMPTS,
	FULL_TALLIES,
	FULL_TOUCHED,
	FULL_ORPHANS,
	FULLS,
};

ARRAY(lost, BPF_MAP_TYPE_PERCPU_ARRAY, __u64, LOSTS); /* events by ring */
ARRAY(full, BPF_MAP_TYPE_PERCPU_ARRAY, __u64, FULLS); /* refused entries by enum full */
enum histograms { TIME_LIFE, TIME_EXEC, HISTOGRAMS };

ARRAY(times, BPF_MAP_TYPE_PERCPU_ARRAY, struct histogram, HISTOGRAMS);
ARRAY(drops, BPF_MAP_TYPE_PERCPU_ARRAY, __u64, REASONS); /* frames */
ARRAY(totals, BPF_MAP_TYPE_PERCPU_ARRAY, __u64, VERDICTS * 2 * REASONS); /* flows */
ARRAY(spared, BPF_MAP_TYPE_PERCPU_ARRAY, __u64, REASONS); /* frames not dropped: enforcement is off */
ARRAY(oddities, BPF_MAP_TYPE_PERCPU_ARRAY, __u64, 16); /* passed frames by enum odd */

/* An empty record to begin from; never written. */
ARRAY(blank, BPF_MAP_TYPE_ARRAY, struct proc, 1);

/*
 * Submits an observation. To wake the reader is an interrupt that costs more than
 * all the rest of a program, so it comes by itself (agent/datapath, readEvery) and
 * is woken only as the ring passes half full.
 */
static __always_inline void submit(void *ring, void *event)
{
	__u64 over = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) - RING_BYTES / 2;

	bpf_ringbuf_submit(event, over < RING_BYTES / 64 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* Until when `sluice enforce off` holds is the kernel's to see. */
static __always_inline bool enforcing(void)
{
	__u32 zero = 0;
	struct node *n = bpf_map_lookup_elem(&settings, &zero);

	return !n || !n->off_until || n->off_until < bpf_ktime_get_boot_ns();
}

static __always_inline void count(void *map, __u32 index)
{
	__u64 *n = bpf_map_lookup_elem(map, &index);

	if (n) /* LSM programs may be preempted by others of this processor */
		__sync_fetch_and_add(n, 1);
}

#endif
