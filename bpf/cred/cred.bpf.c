//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Gains of privilege by any system call, however it was entered: the credentials
 * of a judged thread against its baseline on the way out of every call. A gain is
 * killed before the next user instruction.
 *
 * Hook: tp_btf sys_exit. It costs every system call of the machine, so it is
 * attached only while a policy in force asks for it.
 */
#include "gain.h"

SEC("tp_btf/sys_exit")
int BPF_PROG(cred_exit, struct pt_regs *regs, long ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject s = { .task = task, .r = proc_of(id >> 32) };
	struct creds now, low, *base;
	__u32 tid = id, gain;
	struct orphan *o = 0;

	if (s.r) {
		if (!(s.r->flags & PROC_JUDGED))
			return 0;
		s.slot = s.r->slot;
		s.pod = s.r->pod;
	} else {
		o = bpf_task_storage_get(&orphans, task, 0, 0);
		if (!o)
			return 0;
		s.slot = o->slot;
		s.pod = o->pod;
	}
	read_creds(task, &now);
	base = bpf_map_lookup_elem(&thread_creds, &tid);
	if (!base)
		base = o ? &o->base : (struct creds *)&s.r->base;
	if (same_creds(base, &now))
		return 0;
	low = *base;
	gain = gain_of(base, &now);
	if (!gain)
		lower(&low, &now);
	else if (act_on_gain(&s, base, &now, gain, 0))
		low = now; /* acted on, once */
	/* Of this thread alone: its siblings may still be on their way. */
	if (!same_creds(base, &low) && bpf_map_update_elem(&thread_creds, &tid, &low, BPF_ANY))
		count(&full, FULL_THREAD_CREDS);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
