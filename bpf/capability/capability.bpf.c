//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Uses of capabilities on nodes without BPF LSM: killed or observed, never prevented,
 * for the question is answered already.
 *
 * Hook: tp_btf cap_capable (6.18). It does not tell whether the kernel asks in passing,
 * without audit: that is seen from which of its functions asks.
 */
#include "capability.h"

#define ASKERS 16
#define FRAMES 12 /* from the program to the function that asks, and some to spare */

struct span {
	__u64 from, to;
};

/* Where the functions that ask with audit lie; 0: no more. Set by the loader. */
volatile const struct span askers[ASKERS];

static __always_inline bool with_audit(void *ctx)
{
	__u64 stack[FRAMES] = {};

	if (bpf_get_stack(ctx, stack, sizeof(stack), 0) < 0)
		return false;
	for (int i = 0; i < FRAMES; i++)
		for (int j = 0; j < ASKERS; j++)
			if (stack[i] - askers[j].from < askers[j].to - askers[j].from)
				return true;
	return false;
}

SEC("tp_btf/cap_capable")
int BPF_PROG(capability_used, struct cred *cred, struct user_namespace *target, struct user_namespace *capable, int cap,
	     int ret)
{
	struct use use = { .ns = target->ns.inum, .capability = cap };
	struct asked q = {};

	if (ret || !rule_use(&q, cred, &use))
		return 0;
	use.auditable = with_audit(ctx);
	settle_use(&q, &use, false);
	return 0;
}

__u64 trials;

/* Says that the functions are recognized. */
SEC("tp_btf/cap_capable")
int BPF_PROG(capability_trial)
{
	if (with_audit(ctx))
		__sync_fetch_and_add(&trials, 1);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
