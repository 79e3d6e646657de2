//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verdict function behind a program that a test can call with any question.
 * A syscall program would take it as context, but may not use tries.
 */
#include "judge.h"

struct query {
	struct question question;
	struct answer answer;
	__u32 allowed;
	__u32 _pad;
};

ARRAY(queries, BPF_MAP_TYPE_ARRAY, struct query, 1);

SEC("tc")
int ask_judge(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct query *q = bpf_map_lookup_elem(&queries, &zero);
	struct question question;
	struct answer answer = {};

	if (!q)
		return 1;
	question = q->question;
	q->allowed = judge(&question, &answer);
	q->answer = answer;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
