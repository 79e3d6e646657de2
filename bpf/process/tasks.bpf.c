//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The processes of pods as they are now; those that have no record, for they began
 * while nobody watched or found no room, are given one.
 *
 * Hook: iter.s/task, read by the agent, one reader at a time. What it does not see
 * stays without a record, and matches no rule.
 */
#include "exec.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

/* What is put together for one process at a time. */
struct proc made;
struct exec_event view;

/* What a process runs, from the file that is mapped: of a script, its interpreter, which
   is what the process might as well have been started as. */
static __always_inline void portray_running(struct proc *r, struct task_struct *task, struct file *file)
{
	struct mnt_namespace *ns = task->nsproxy->mnt_ns;
	struct binary binary;

	look_at(&binary, file, ns);
	r->mount = binary.mount;
	r->program.ino = binary.ino;
	r->program.dev = binary.dev;
	if (!walk_path(&r->path, &r->folder, file))
		r->flags |= PROC_CUT;
	if (r->flags & PROC_JUDGED)
		r->flags |= origin(&binary, r, task, false);
}

/*
 * Gives a process of a pod its record: judged from now on, if it runs a file of its own
 * mount namespace, so that it is not the runtime's start-up. Whatever it holds now is its
 * baseline, but where its task remembers another.
 */
static __always_inline bool adopt(struct task_struct *task, struct file *file)
{
	struct cgroup_pod *c = pod_of(cgroup_of(task));
	struct orphan *o = bpf_task_storage_get(&orphans, task, 0, 0);
	struct mnt_namespace *ns = task->nsproxy->mnt_ns;
	__u32 tgid = task->tgid, parent = task->real_parent->tgid;
	struct proc *up = proc_of(parent);

	__builtin_memset(&made, 0, sizeof(made));
	if (o) {
		made.slot = o->slot;
		made.pod = o->pod;
		made.program.container = o->container;
		made.flags = PROC_JUDGED;
	} else if (c) {
		made.slot = c->slot;
		made.pod = c->pod;
		if (mount_of(file)->mnt_ns == ns) {
			enter(task, cgroup_of(task), c, ns);
			made.program.container = c->container;
			made.flags = PROC_JUDGED;
		}
	} else {
		return false;
	}
	made.exec_id = task->start_boottime;
	made.parent_exec_id = up ? up->exec_id : 0;
	made.pid = tgid;
	made.parent_pid = parent;
	made.cgroup = cgroup_of(task);
	made.mnt_ns = ns->ns.inum;
	made.net_ns = task->nsproxy->net_ns->ns.inum;
	made.pid_ns = task->nsproxy->pid_ns_for_children->ns.inum;
	read_creds(task, &made.creds);
	made.base = o ? o->base : made.creds;
	portray_running(&made, task, file);
	if (o) /* as revive has it: the pod may have changed the file since */
		made.flags &= ~(PROC_IMAGE | PROC_ROOT);
	return !bpf_map_update_elem(&procs, &tgid, &made, BPF_NOEXIST);
}

static __always_inline void read_args(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	__u64 from = mm->arg_start, n = args_of(mm);

	view.args_len = n;
	if (n > ARGS_LEN)
		n = ARGS_LEN;
	if (n && bpf_copy_from_user_task(view.args, n, (void *)from, task, 0))
		view.args_len = 0;
}

SEC("iter.s/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file;
	struct proc *r;
	__u32 tgid, zero = 0, new = 0;
	struct node *n = bpf_map_lookup_elem(&settings, &zero);

	if (!task || !task->mm || !task->nsproxy)
		return 0;
	/* The leader stands for its process, or while others outlive it each of them. */
	if (task->pid != task->tgid && task->group_leader->mm)
		return 0;
	tgid = task->tgid;
	file = task->mm->exe_file;
	r = proc_of(tgid);
	if (!r && file) {
		new = adopt(task, file);
		r = proc_of(tgid);
		if (!task->signal->live.counter) { /* it may have gone before it had a record */
			bpf_map_delete_elem(&procs, &tgid);
			return 0;
		}
	}
	if (!r || !file)
		return 0;
	fill_exec(&view, task, r, file, PROCESS_SEEN);
	view.process.parent_pid = task->real_parent->tgid;
	view.entry = new;
	view.args_len = 0;
	if (n && n->tells & TELL_ARGS)
		read_args(task);
	bpf_seq_write(ctx->meta->seq, &view, sizeof(view));
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
