/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a task to its pod, its container and its record; shared by the process,
 * socket and credential programs.
 */
#ifndef SLUICE_PROCESS_H
#define SLUICE_PROCESS_H

#include "maps.h"

static __always_inline __u64 cgroup_of(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

static __always_inline __u64 netns_of(struct task_struct *task)
{
	struct net *net = task->nsproxy->net_ns;

	if (bpf_core_field_exists(((struct net___atomic *)0)->net_cookie.counter))
		return cast(net, struct net___atomic)->net_cookie.counter;
	return net->net_cookie;
}

/* The live pod of a cgroup, 0 if it has none. */
static __always_inline struct cgroup_pod *pod_of(__u64 cgroup)
{
	struct cgroup_pod *c = bpf_map_lookup_elem(&cgroups, &cgroup);
	struct pod *p;

	if (!c)
		return 0;
	p = bpf_map_lookup_elem(&pods, &c->slot);
	return p && p->id && p->id == c->pod ? c : 0;
}

static __always_inline struct proc *proc_of(__u32 tgid)
{
	struct proc *r = bpf_map_lookup_elem(&procs, &tgid);
	struct pod *p;

	if (!r)
		return 0;
	p = bpf_map_lookup_elem(&pods, &r->slot);
	return p && p->id == r->pod ? r : 0;
}

#define PF_IO_WORKER 0x10 /* include/linux/sched.h: of io_uring */

/* What the task of a judged process without a record remembers; for io_uring's workers
   their process's does. */
static __always_inline struct orphan *orphan_by(struct task_struct *task)
{
	return bpf_task_storage_get(&orphans, task->flags & PF_IO_WORKER ? task->group_leader : task, 0, 0);
}

/* The program id of r by its path, for containers not resolved yet. */
static __always_inline __u32 known_path(const struct proc *r)
{
	__u32 *id;

	if (!(r->flags & PROC_IMAGE) || r->flags & PROC_CUT)
		return 0;
	id = bpf_map_lookup_elem(&paths, &r->path);
	return id ? *id : 0;
}

static __always_inline void read_creds(struct task_struct *task, struct creds *c)
{
	const struct cred *cred = cast(task->cred, struct cred);

	c->caps = cred->cap_permitted.val | cred->cap_ambient.val;
	c->uid[0] = cred->uid.val;
	c->uid[1] = cred->euid.val;
	c->uid[2] = cred->suid.val;
	c->gid[0] = cred->gid.val;
	c->gid[1] = cred->egid.val;
	c->gid[2] = cred->sgid.val;
	c->user_ns = cred->user_ns->ns.inum;
	c->_pad = 0;
}

#endif
