//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Process records: one per process that belongs to a pod, from fork or first exec
 * to exit; which cgroup is whose; and gains of privilege at exec.
 *
 * Hooks: tp_btf sched_process_fork, _exec, _exit; cgroup_mkdir, cgroup_rmdir.
 * Only observe, but for a gain at exec: killed before a user instruction runs.
 * A process without a record matches no process rule.
 */
#include "exec.h"

/* A process with a record begets one; one outside a pod gets its first at exec. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(proc_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = child->tgid, tid = child->pid, ptid = parent->pid;
	struct proc *r = proc_of(parent->tgid);
	struct creds *lowered;
	struct orphan *o;

	if (!r) {
		o = bpf_task_storage_get(&orphans, parent, 0, 0);
		if (o)
			remember(child, o);
		return 0;
	}
	lowered = bpf_map_lookup_elem(&thread_creds, &ptid);
	if (tgid != tid) { /* a thread */
		if (lowered && bpf_map_update_elem(&thread_creds, &tid, lowered, BPF_ANY))
			count(&full, FULL_THREAD_CREDS);
		return 0;
	}
	if (bpf_map_update_elem(&procs, &tgid, r, BPF_ANY)) {
		count(&full, FULL_PROCS);
		if (r->flags & PROC_JUDGED) {
			struct orphan left = orphan_of(r, lowered ?: &r->base);

			remember(child, &left);
		}
		return 0;
	}
	r = bpf_map_lookup_elem(&procs, &tgid);
	if (!r)
		return 0;
	r->parent_exec_id = r->exec_id;
	r->parent_pid = r->pid;
	r->exec_id = bpf_ktime_get_boot_ns();
	r->pid = tgid;
	r->cgroup = cgroup_of(child);
	if (lowered)
		r->base = *lowered;
	tell(child, r, PROCESS_FORK, 0);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(proc_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	__u64 began = bpf_ktime_get_ns();
	__u32 tgid = task->tgid;
	int ret = on_exec(task, old_pid, bprm);

	if (bpf_map_lookup_elem(&procs, &tgid)) /* it is a pod's */
		note_time(TIME_EXEC, bpf_ktime_get_ns() - began);
	return ret;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(proc_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid, tid = task->pid;
	struct proc *r = bpf_map_lookup_elem(&procs, &tgid);

	/* First: a sibling may have taken the record along, and tids are used again. */
	if (bpf_map_lookup_elem(&thread_creds, &tid))
		bpf_map_delete_elem(&thread_creds, &tid);
	if (!r)
		return 0;
	if (task->signal->live.counter)
		return 0;
	note_time(TIME_LIFE, bpf_ktime_get_boot_ns() - task->group_leader->start_boottime);
	tell(task, r, PROCESS_EXIT, task->signal->group_exit_code ?: task->exit_code);
	bpf_map_delete_elem(&procs, &tgid);
	return 0;
}

/* A cgroup below a pod's is the pod's; any other waits for its first process. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_made, struct cgroup *cgrp)
{
	struct cgroup_subsys_state *parent = cgrp->self.parent; /* first in struct cgroup */
	__u64 id = cgrp->kn->id, up;
	struct cgroup_pod *of, c;
	__u32 one = 1;

	if (cgrp->root->hierarchy_id || !parent)
		return 0;
	up = cast(parent, struct cgroup)->kn->id;
	of = pod_of(up);
	if (of) {
		c = *of;
		if (bpf_map_update_elem(&cgroups, &id, &c, BPF_ANY))
			count(&full, FULL_CGROUPS);
	} else if (bpf_map_update_elem(&fresh, &id, &one, BPF_ANY)) {
		count(&full, FULL_FRESH);
	}
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_gone, struct cgroup *cgrp)
{
	__u64 id = cgrp->kn->id;

	if (cgrp->root->hierarchy_id)
		return 0;
	bpf_map_delete_elem(&cgroups, &id);
	bpf_map_delete_elem(&containers, &id);
	bpf_map_delete_elem(&fresh, &id);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
