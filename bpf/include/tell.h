/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is told of processes: events of forks, execs and exits. */
#ifndef SLUICE_TELL_H
#define SLUICE_TELL_H

#include "binary.h"
#include "process.h"

/* What somebody asks to be told of the processes of a pod: enum telling. */
static __always_inline __u32 asked_of(__u32 slot)
{
	__u32 zero = 0, *of = bpf_map_lookup_elem(&subscribed, &slot);
	struct node *n = bpf_map_lookup_elem(&settings, &zero);

	return (of ? *of : 0) | (n ? n->tells : 0);
}

/* Adds a time to one of enum histograms. */
static __always_inline void note_time(__u32 which, __u64 ns)
{
	struct histogram *h = bpf_map_lookup_elem(&times, &which);
	__u64 units = ns >> 10;
	__u32 i = units ? 64 - __builtin_clzll(units) : 0;

	if (!h)
		return;
	h->sum += ns;
	h->buckets[i < HISTOGRAM_BUCKETS ? i : HISTOGRAM_BUCKETS - 1] += 1;
}

static __always_inline void read_standing(struct task_struct *task, struct standing *s)
{
	const struct cred *cred = cast(task->cred, struct cred);
	struct nsproxy *ns = task->nsproxy;

	s->permitted = cred->cap_permitted.val;
	s->effective = cred->cap_effective.val;
	s->uid = cred->uid.val;
	s->euid = cred->euid.val;
	s->gid = cred->gid.val;
	s->egid = cred->egid.val;
	s->mnt_ns = ns->mnt_ns->ns.inum;
	s->net_ns = ns->net_ns->ns.inum;
	s->pid_ns = ns->pid_ns_for_children->ns.inum;
	s->user_ns = cred->user_ns->ns.inum;
	s->cgroup_ns = ns->cgroup_ns->ns.inum;
	s->uts_ns = ns->uts_ns->ns.inum;
	s->ipc_ns = ns->ipc_ns->ns.inum;
	s->_pad = 0;
}

static __always_inline void fill_process(struct process_event *e, struct task_struct *task, const struct proc *r,
					 __u32 type)
{
	e->time = type == PROCESS_EXIT ? bpf_ktime_get_boot_ns() : r->exec_id;
	e->exec_id = r->exec_id;
	e->parent_exec_id = r->parent_exec_id;
	e->container = r->program.container;
	e->cgroup = r->cgroup;
	e->type = type;
	e->pid = r->pid;
	e->parent_pid = r->parent_pid;
	e->slot = r->slot;
	e->pod = r->pod;
	e->exit_code = 0;
	e->flags = r->flags;
	e->_pad = 0;
	read_standing(task, &e->standing);
}

/*
 * How long the arguments are. In the midst of an exec they have no end yet; what lies
 * behind it is the environment, which is never read.
 */
static __always_inline __u64 args_of(struct mm_struct *mm)
{
	__u64 from = mm->arg_start, to = mm->arg_end;

	return from < to ? to - from : 0;
}

/* All of an exec but its arguments. */
static __always_inline void fill_exec(struct exec_event *e, struct task_struct *task, const struct proc *r,
				      struct file *binary, __u32 type)
{
	struct fs_struct *fs = task->fs;
	struct leaf cwd = { .mnt = mount_around(fs->pwd.mnt), .dentry = fs->pwd.dentry };
	__u32 folder;

	fill_process(&e->process, task, r, type);
	e->ino = r->program.ino;
	e->dev = r->program.dev;
	e->mount = r->mount;
	e->_pad = 0;
	e->path = r->path;
	walk_from(&e->cwd, &folder, &cwd);
	e->interpreter.path[0] = 0;
	if (r->flags & PROC_SCRIPT)
		walk_path(&e->interpreter, &folder, binary);
}

/* Tells of a fork, by the child, or of an exit, if somebody asks for it. */
static __always_inline void tell(struct task_struct *task, const struct proc *r, __u32 type, __u32 exit_code)
{
	struct process_event *e;

	if (!(asked_of(r->slot) & (type == PROCESS_FORK ? TELL_FORK : TELL_EXIT)))
		return;
	e = bpf_ringbuf_reserve(&process_ring, sizeof(*e), 0);
	if (!e) {
		count(&lost, LOST_PROCESS);
		return;
	}
	fill_process(e, task, r, type);
	e->exit_code = exit_code;
	submit(&process_ring, e);
}

/* Tells of an exec by current, if somebody asks for it. */
static __always_inline void tell_exec(struct task_struct *task, const struct proc *r, struct file *binary, __u32 entry)
{
	__u32 asked = asked_of(r->slot);
	struct mm_struct *mm = task->mm;
	struct exec_event *e;
	__u64 n = 0;

	if (!entry && !(asked & TELL_EXEC))
		return;
	e = bpf_ringbuf_reserve(&process_ring, sizeof(*e), 0);
	if (!e) {
		count(&lost, LOST_PROCESS);
		return;
	}
	fill_exec(e, task, r, binary, PROCESS_EXEC);
	e->entry = entry;
	if (mm && asked & TELL_ARGS)
		n = args_of(mm);
	e->args_len = n;
	if (n > ARGS_LEN)
		n = ARGS_LEN;
	if (n && bpf_probe_read_user(e->args, n, (void *)mm->arg_start))
		e->args_len = 0;
	submit(&process_ring, e);
}

#endif
