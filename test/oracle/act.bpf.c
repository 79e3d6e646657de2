//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the rules say of an act, behind a program that a test can call; see judge.bpf.c. */
#include "runtime.h"

struct act_query {
	__u32 slot;
	__u32 pod;
	__u32 what; /* as in struct permit */
	__u32 file; /* 1: it is the use of a file */
	__u32 operation; /* of it */
	__u32 _pad;
	struct ruling by;
};

ARRAY(act_queries, BPF_MAP_TYPE_ARRAY, struct act_query, 1);
ARRAY(act_records, BPF_MAP_TYPE_ARRAY, struct proc, 2); /* the process; what it ran before, or the file */

SEC("tc")
int ask_act(struct __sk_buff *skb)
{
	__u32 zero = 0, one = 1;
	struct act_query *q = bpf_map_lookup_elem(&act_queries, &zero);
	struct identity who, parent;
	struct ruling by = {};
	struct ruleset *rs;

	if (!q)
		return 1;
	rs = rules_of(q->slot, q->pod);
	identify(&who, bpf_map_lookup_elem(&act_records, &zero));
	identify(&parent, bpf_map_lookup_elem(&act_records, &one));
	if (rs && q->file)
		rule_file(&by, rs, q->operation, &parent, &who);
	else if (rs)
		rule_on(&by, q->what ? rs->capabilities : rs->exec, q->what, &who, &parent);
	q->by = by;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
