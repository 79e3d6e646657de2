//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tells of a fork as the process programs do, as often as somebody runs it. */
#include "tell.h"

#define WRITERS 8

/* What each writer tells of; one at a time runs for a writer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct proc);
	__uint(max_entries, WRITERS);
} children SEC(".maps");

struct write {
	__u32 writer;
};

/* Nobody else runs on this processor meanwhile, as in a tracepoint: lost counts. */
SEC("syscall")
int fork_told(struct write *w)
{
	__u32 writer = w->writer;
	struct proc *r = bpf_map_lookup_elem(&children, &writer);

	if (!r)
		return 1;
	bpf_preempt_disable();
	r->exec_id = bpf_ktime_get_boot_ns();
	tell(bpf_get_current_task_btf(), r, PROCESS_FORK, 0);
	bpf_preempt_enable();
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
