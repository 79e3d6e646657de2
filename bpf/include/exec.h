/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an exec means for the record: path, container, entry, credentials. */
#ifndef SLUICE_EXEC_H
#define SLUICE_EXEC_H

#include "binary.h"
#include "runtime.h"
#include "tell.h"

#define MAX_TREE 48 /* depth of a mount tree's red-black tree */

/* The greatest mount id of a mount namespace: newer mounts are not the image's. */
static __always_inline __u64 last_mount(struct mnt_namespace *ns)
{
	struct mnt_namespace___tree *tree = cast(ns, struct mnt_namespace___tree);
	struct rb_node *node, *next;

	if (!bpf_core_field_exists(struct mount___unique, mnt_id_unique) || !bpf_core_field_exists(tree->mounts))
		return 0;
	node = next = tree->mounts.rb_node;
	for (int i = 0; i < MAX_TREE && next; i++) {
		node = next;
		next = node->rb_right;
	}
	if (!node)
		return 0;
	return cast((void *)node - bpf_core_field_offset(struct mount___unique, mnt_node), struct mount___unique)
	    ->mnt_id_unique;
}

/*
 * A cgroup made since we watch, outside every pod, whose first program starts in
 * a pod's network namespace is that pod's container (CRI without a kubelet). The
 * first program decides; a host cgroup is never taken over later.
 */
static __always_inline struct cgroup_pod *join(struct task_struct *task, __u64 cgroup)
{
	__u64 cookie = netns_of(task);
	struct cgroup_pod c = {};
	__u32 *slot;
	struct pod *p;

	if (bpf_map_delete_elem(&fresh, &cgroup))
		return 0;
	slot = bpf_map_lookup_elem(&netnses, &cookie);
	if (!slot)
		return 0;
	p = bpf_map_lookup_elem(&pods, slot);
	if (!p || p->netns != cookie)
		return 0;
	c.slot = *slot;
	c.pod = p->id;
	if (bpf_map_update_elem(&cgroups, &cgroup, &c, BPF_ANY)) {
		count(&full, FULL_CGROUPS);
		return 0;
	}
	return bpf_map_lookup_elem(&cgroups, &cgroup);
}

/* Makes the container of an entry, if its cgroup has none; first come, first kept. */
static __always_inline __u32 enter(struct task_struct *task, __u64 cgroup, struct cgroup_pod *c,
				   struct mnt_namespace *ns)
{
	struct container n = { .slot = c->slot, .pod = c->pod, .pid = task->tgid };
	__u32 zero = 0;
	struct node *s = bpf_map_lookup_elem(&settings, &zero);

	if (c->container || !s)
		return 0;
	n.mnt_ns = ns->ns.inum;
	if (n.mnt_ns != s->host_mnt_ns)
		n.start = bpf_ktime_get_tai_ns() - s->tai_offset - CTIME_LAG;
	n.last_mount = last_mount(ns);
	n.root = root_of(task);
	if (bpf_map_update_elem(&containers, &cgroup, &n, BPF_NOEXIST)) {
		count(&full, FULL_CONTAINERS);
		return 0;
	}
	c->container = cgroup;
	return 1;
}

static __always_inline struct proc *make_proc(__u32 tgid)
{
	__u32 zero = 0;
	void *empty = bpf_map_lookup_elem(&blank, &zero);

	if (!empty)
		return 0;
	if (bpf_map_update_elem(&procs, &tgid, empty, BPF_ANY)) {
		count(&full, FULL_PROCS);
		return 0;
	}
	return bpf_map_lookup_elem(&procs, &tgid);
}

/* Judges the credentials that an exec brought; a drop lowers the baseline. */
static __always_inline void check_exec(struct task_struct *task, struct proc *r, __u32 old_pid)
{
	struct creds *lowered = bpf_map_lookup_elem(&thread_creds, &old_pid);
	struct subject s = { .task = task, .r = r, .slot = r->slot, .pod = r->pod };
	__u32 gain;

	if (lowered) {
		r->base = *lowered;
		bpf_map_delete_elem(&thread_creds, &old_pid);
	}
	if (old_pid != r->pid) /* the leader's, whose id this thread took over */
		bpf_map_delete_elem(&thread_creds, &r->pid);
	gain = gain_of(&r->base, &r->creds);
	if (!gain) {
		lower(&r->base, &r->creds);
		return;
	}
	if (act_on_gain(&s, &r->base, &r->creds, gain, 1))
		r->base = r->creds; /* acted on, once */
}

/* What a judged process is remembered by. */
static __always_inline struct orphan orphan_of(const struct proc *r, const struct creds *base)
{
	struct orphan o = { .container = r->program.container, .base = *base, .slot = r->slot, .pod = r->pod };

	return o;
}

/* A judged process that finds no room for a record is remembered by its task. */
static __always_inline void remember(struct task_struct *task, const struct orphan *as)
{
	struct orphan *o = bpf_task_storage_get(&orphans, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (o)
		*o = *as;
	else
		count(&full, FULL_ORPHANS);
}

/* A record for a judged process that had none, if there is room now. What it runs till
   its next exec is not known. */
static __always_inline struct proc *revive(struct task_struct *task, const struct orphan *o)
{
	struct proc *r = make_proc(task->tgid);

	if (!r)
		return 0;
	r->exec_id = task->start_boottime;
	r->slot = o->slot;
	r->pod = o->pod;
	r->pid = task->tgid;
	r->parent_pid = task->real_parent->tgid;
	r->cgroup = cgroup_of(task);
	r->program.container = o->container;
	r->base = o->base;
	r->flags = PROC_JUDGED;
	return r;
}

/*
 * A judged process without a record: one is made if there is room now, else its
 * exec is judged by what its task remembers.
 */
static __always_inline struct proc *recover(struct task_struct *task, struct orphan *o)
{
	struct subject s = { .task = task, .slot = o->slot, .pod = o->pod };
	struct proc *r = revive(task, o);
	struct creds now;
	__u32 gain;

	if (r)
		return r;
	read_creds(task, &now);
	gain = gain_of(&o->base, &now);
	if (!gain)
		lower(&o->base, &now);
	else if (act_on_gain(&s, &o->base, &now, gain, 1))
		o->base = now;
	return 0;
}

/*
 * By what the process is known: its binary, or the script that its binary runs; 0
 * for a script that was not seen.
 */
static __always_inline const struct binary *known_by(struct task_struct *task, struct linux_binprm *bprm,
						     const struct binary *binary, struct proc *r)
{
	struct script *s = 0;

	if (bprm->interp != bprm->filename) {
		r->flags |= PROC_SCRIPT;
		s = bpf_task_storage_get(&scripts, task, 0, 0);
	}
	if (s && s->bprm == (__u64)bprm) {
		r->path = s->path;
		r->folder = s->folder;
		r->flags |= s->binary.flags & BINARY_CUT ? PROC_CUT : 0;
		return &s->binary;
	}
	if (!walk_path(&r->path, &r->folder, bprm->file))
		r->flags |= PROC_CUT;
	return r->flags & PROC_SCRIPT ? 0 : binary;
}

/* PROC_IMAGE and PROC_ROOT of a file that a process runs; entry: its container begins
   with this, if it has not begun. */
static __always_inline __u32 origin(const struct binary *b, const struct proc *r, struct task_struct *task, bool entry)
{
	struct container *in = bpf_map_lookup_elem(&containers, &r->program.container);
	__u32 must = BINARY_OWN; /* as of_image has it */

	if (!bpf_core_field_exists(struct mount___unique, mnt_id_unique))
		must |= BINARY_ROOT;
	if (in ? !of_image(b, r->mnt_ns, in, r->program.container) : !entry || (b->flags & must) != must)
		return 0;
	return PROC_IMAGE | (b->mount == (in ? in->root : root_of(task)) ? PROC_ROOT : 0);
}

/* What an exec makes of a process: the program, and whether it is of the image. */
static __always_inline void portray(struct proc *r, struct task_struct *task, struct linux_binprm *bprm, bool entry)
{
	struct mnt_namespace *ns = task->nsproxy->mnt_ns;
	const struct binary *known;
	struct binary binary;

	r->mnt_ns = ns->ns.inum;
	look_at(&binary, bprm->file, ns);
	known = known_by(task, bprm, &binary, r);
	r->mount = known ? known->mount : binary.mount;
	r->program.ino = known ? known->ino : binary.ino;
	r->program.dev = known ? known->dev : binary.dev;
	if (known)
		r->flags |= origin(&binary, r, task, entry) & origin(known, r, task, entry);
}

/* The program of a process before an exec, for rules that name parents. */
static __always_inline void identify_parent(struct identity *parent, const struct ruleset *rs, const struct proc *r)
{
	identify(parent, rs && (rs->exec[ENFORCED].parents || rs->exec[AUDITED].parents) ? r : 0);
}

/*
 * Rules on an exec that has happened. What was to be denied and got here is killed: no
 * LSM program saw it, or the rules have changed this moment.
 */
static __always_inline void rule_exec(const struct actor *a, const struct ruleset *rs, const struct identity *parent)
{
	struct identity who;
	struct ruling by;

	if (!rs || !restricted(rs->exec))
		return;
	identify(&who, a->r);
	rule_on(&by, rs->exec, 0, &who, parent);
	if (by.action == ACTION_IGNORE)
		return;
	if (by.action == ACTION_DENY)
		by.action = ACTION_KILL;
	if (by.action == ACTION_KILL && bpf_send_signal(SIGKILL))
		by.action = ACTION_OBSERVE;
	report_act(a, &by, ACT_EXEC, 0, 0, a->r ? &a->r->path : 0);
}

/* Who execs. */
struct executor {
	struct actor a; /* r: the record, 0: there is no room for one, or none yet */
	struct cgroup_pod *c;
	__u64 cgroup;
	bool judged; /* it, or an ancestor, made its entry */
	bool orphan;
	bool own; /* it is to run a file of its own mount namespace: no runtime's start-up */
	__u8 _pad[5];
};

/* False: it is no pod's. */
static __always_inline bool find_executor(struct executor *x, struct task_struct *task, struct linux_binprm *bprm)
{
	struct orphan *o;

	x->a.task = task;
	x->a.r = proc_of(task->tgid);
	x->cgroup = cgroup_of(task);
	x->c = pod_of(x->cgroup);
	o = x->a.r ? 0 : bpf_task_storage_get(&orphans, task, 0, 0);
	x->orphan = o;
	x->judged = o || (x->a.r && x->a.r->flags & PROC_JUDGED);
	x->own = mount_of(bprm->file)->mnt_ns == task->nsproxy->mnt_ns;
	if (!x->c && !x->judged)
		x->c = x->own ? join(task, x->cgroup) : 0;
	if (o) {
		x->a.slot = o->slot;
		x->a.pod = o->pod;
		x->a.r = recover(task, o);
	} else if (x->judged) {
		x->a.slot = x->a.r->slot;
		x->a.pod = x->a.r->pod;
	} else if (x->c) {
		x->a.slot = x->c->slot;
		x->a.pod = x->c->pod;
	} else {
		return false;
	}
	return true;
}

/* An entry for which there is no room is judged from now on all the same. */
static __always_inline void remember_entry(const struct executor *x)
{
	struct orphan o = { .container = x->c->container, .slot = x->c->slot, .pod = x->c->pod };

	read_creds(x->a.task, &o.base);
	remember(x->a.task, &o);
}

/* What the record says of a process anew with each exec, but for its program. */
static __always_inline void renew(struct proc *r, const struct executor *x)
{
	struct task_struct *task = x->a.task;

	r->parent_exec_id = r->exec_id ?: r->parent_exec_id;
	r->exec_id = bpf_ktime_get_boot_ns();
	r->pid = task->tgid;
	r->parent_pid = task->real_parent->tgid;
	r->cgroup = x->cgroup;
	r->net_ns = task->nsproxy->net_ns->ns.inum;
	r->pid_ns = task->nsproxy->pid_ns_for_children->ns.inum;
	r->flags &= PROC_JUDGED;
	r->slot = x->a.slot;
	r->pod = x->a.pod;
	read_creds(task, &r->creds);
	if (x->judged || !x->own)
		return;
	r->program.container = x->c->container;
	r->base = r->creds;
	r->flags |= PROC_JUDGED;
}

static __always_inline int on_exec(struct task_struct *task, __u32 old_pid, struct linux_binprm *bprm)
{
	struct executor x = {};
	struct identity parent;
	struct ruleset *rs;
	__u32 entry = 0;
	struct proc *r;

	if (!find_executor(&x, task, bprm))
		return 0;
	r = (struct proc *)x.a.r;
	rs = x.judged || x.own ? rules_of(x.a.slot, x.a.pod) : 0;
	identify_parent(&parent, rs, x.judged ? r : 0);
	if (!r && !x.orphan)
		r = make_proc(task->tgid);
	if (!x.judged && x.own)
		entry = enter(task, x.cgroup, x.c, task->nsproxy->mnt_ns);
	x.a.r = 0;
	if (!r) {
		if (!x.judged && x.own)
			remember_entry(&x);
		rule_exec(&x.a, rs, &parent);
		return 0;
	}
	renew(r, &x);
	portray(r, task, bprm, false);
	tell_exec(task, r, bprm->file, entry); /* before what it may come to, which is read at once */
	if (x.judged)
		check_exec(task, r, old_pid);
	if (r->flags & PROC_SCRIPT)
		bpf_task_storage_delete(&scripts, task);
	x.a.r = r;
	rule_exec(&x.a, rs, &parent);
	return 0;
}

#endif
