//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Uses of capabilities on nodes without BPF LSM: killed or observed, never prevented,
 * for the question is answered already.
 *
 * Hook: tp_btf cap_capable (6.18). It does not tell whether the kernel asks in passing,
 * so what it so asks in the course of ordinary work kills nobody.
 */
#include "capability.h"

#define CAP_SYS_PTRACE 19 /* each look into /proc */
#define CAP_SYS_ADMIN 21 /* memory accounting */
#define CAP_SYS_RESOURCE 24 /* reserved blocks of filesystems, limits */

static __always_inline bool asked_in_passing(__u32 capability)
{
	return capability == CAP_SYS_PTRACE || capability == CAP_SYS_ADMIN || capability == CAP_SYS_RESOURCE;
}

SEC("tp_btf/cap_capable")
int BPF_PROG(capability_used, struct cred *cred, struct user_namespace *target, struct user_namespace *capable, int cap,
	     int ret)
{
	struct use use = { .ns = target->ns.inum, .capability = cap, .auditable = !asked_in_passing(cap) };

	if (!ret)
		judge_use(cred, &use, false);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
