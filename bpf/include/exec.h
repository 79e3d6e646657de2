/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an exec means for the record: path, container, entry, credentials. */
#ifndef SLUICE_EXEC_H
#define SLUICE_EXEC_H

#include "gain.h"

#define MAX_NAMES 64 /* components and mounts of a path */
#define MAX_TREE 48 /* depth of a mount tree's red-black tree */

static __always_inline void fill_process(struct process_event *e, const struct proc *r, __u32 type)
{
	e->time = type == PROCESS_EXIT ? bpf_ktime_get_boot_ns() : r->exec_id;
	e->exec_id = r->exec_id;
	e->parent_exec_id = r->parent_exec_id;
	e->container = r->program.container;
	e->cgroup = r->cgroup;
	e->type = type;
	e->pid = r->pid;
	e->parent_pid = r->parent_pid;
	e->uid = r->creds.uid[1];
	e->slot = r->slot;
	e->pod = r->pod;
	e->exit_code = 0;
	e->flags = r->flags;
}

static __always_inline void emit_process(const struct proc *r, __u32 type, __u32 exit_code)
{
	struct process_event *e = bpf_ringbuf_reserve(&process_ring, sizeof(*e), 0);

	if (!e) {
		count(&lost, LOST_PROCESS);
		return;
	}
	fill_process(e, r, type);
	e->exit_code = exit_code;
	submit(&process_ring, e);
}

static __always_inline void emit_exec(struct task_struct *task, const struct proc *r, __u32 entry)
{
	struct exec_event *e = bpf_ringbuf_reserve(&process_ring, sizeof(*e), 0);
	struct mm_struct *mm = task->mm;
	__u64 n = 0;

	if (!e) {
		count(&lost, LOST_PROCESS);
		return;
	}
	fill_process(&e->process, r, PROCESS_EXEC);
	e->entry = entry;
	if (bpf_probe_read_kernel_str(e->path, PATH_LEN, r->path.path) < 0)
		e->path[0] = 0;
	if (mm)
		n = mm->arg_end - mm->arg_start;
	e->args_len = n;
	if (n > ARGS_LEN)
		n = ARGS_LEN;
	if (n && bpf_probe_read_user(e->args, n, (void *)mm->arg_start))
		e->args_len = 0;
	submit(&process_ring, e);
}

/*
 * Where a path is put together, from its end: one per CPU. Tracepoints are not
 * preempted up to 6.18; where they may be, it is forbidden for the while (the
 * kfunc is there since 6.10).
 */
struct scratch {
	__u8 walk[2 * PATH_LEN];
};
ARRAY(scratches, BPF_MAP_TYPE_PERCPU_ARRAY, struct scratch, 1);

extern void bpf_preempt_disable(void) __weak __ksym;
extern void bpf_preempt_enable(void) __weak __ksym;

struct walk {
	struct scratch *scratch;
	struct dentry *dentry;
	struct mount *mnt;
	__u32 at;
	__u32 done;
};

/* One step towards the root of the mount namespace: a name, or a mount. */
static long step(__u32 i, struct walk *w)
{
	struct dentry *dentry = cast(w->dentry, struct dentry);
	struct mount *mnt = cast(w->mnt, struct mount);
	__u8 *walk = w->scratch->walk;
	__u32 n, at = w->at;

	if (dentry == mnt->mnt.mnt_root) {
		w->dentry = mnt->mnt_mountpoint;
		w->mnt = mnt->mnt_parent;
		w->done = w->mnt == mnt;
		return w->mnt == mnt;
	}
	if (dentry->d_parent == dentry) /* not under its mount's root: unreachable */
		return 1;
	n = dentry->d_name.len;
	if (n + 1 > at || at >= PATH_LEN)
		return 1;
	at -= n + 1;
	walk[at & (PATH_LEN - 1)] = '/';
	bpf_probe_read_kernel(&walk[(at + 1) & (PATH_LEN - 1)], n & (PATH_LEN - 1), dentry->d_name.name);
	w->dentry = dentry->d_parent;
	w->at = at;
	return 0;
}

static __always_inline struct mount *mount_of(struct file *file)
{
	return cast((void *)file->f_path.mnt - bpf_core_field_offset(struct mount, mnt), struct mount);
}

/* Writes the path of a file, seen from the root of its mount namespace, to r. */
static __always_inline void walk_path(struct proc *r, struct file *file)
{
	struct walk w = { .at = PATH_LEN - 1, .dentry = file->f_path.dentry, .mnt = mount_of(file) };
	__u32 zero = 0;

	r->flags |= PROC_CUT;
	w.scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!w.scratch)
		return;
	if (bpf_preempt_disable)
		bpf_preempt_disable();
	__builtin_memset(w.scratch->walk + PATH_LEN - 1, 0, PATH_LEN + 1);
	bpf_loop(MAX_NAMES, step, &w, 0);
	if (w.at < PATH_LEN)
		bpf_probe_read_kernel(&r->path, PATH_LEN, w.scratch->walk + w.at);
	if (bpf_preempt_enable)
		bpf_preempt_enable();
	if (w.done)
		r->flags &= ~PROC_CUT;
}

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

#define CTIME_QUERIED (1U << 31) /* a flag within i_ctime_nsec (I_CTIME_QUERIED, 6.13) */

/* When the inode was last changed, renamed or linked; CLOCK_REALTIME, ns. */
static __always_inline __u64 changed(struct inode *inode)
{
	struct inode___split *split = cast(inode, struct inode___split);
	struct inode___whole *whole;

	if (bpf_core_field_exists(split->i_ctime_sec))
		return split->i_ctime_sec * 1000000000ULL + (split->i_ctime_nsec & ~CTIME_QUERIED);
	whole = cast(inode, struct inode___whole);
	return whole->__i_ctime.tv_sec * 1000000000ULL + whole->__i_ctime.tv_nsec;
}

/* Did the container begin with this file? What the pod made or changed it did not. */
static __always_inline bool image_file(struct inode *inode, const struct container *c)
{
	return !c->start || changed(inode) <= c->start;
}

static __always_inline __u64 mount_id(struct mount *m)
{
	if (!bpf_core_field_exists(struct mount___unique, mnt_id_unique))
		return m->mnt_id;
	return cast(m, struct mount___unique)->mnt_id_unique;
}

/* Did the container begin with this mount? Without ids, only its root counts. */
static __always_inline bool image_mount(struct mount *m, struct mnt_namespace *ns, const struct container *c)
{
	if (ns->ns.inum != c->mnt_ns)
		return false;
	if (!c->last_mount)
		return m->mnt_parent == ns->root || m == ns->root;
	return mount_id(m) <= c->last_mount;
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
static __always_inline __u32 enter(struct task_struct *task, struct proc *r, struct cgroup_pod *c,
				   struct mnt_namespace *ns)
{
	struct container n = { .slot = c->slot, .pod = c->pod, .pid = r->pid };
	__u32 zero = 0;
	struct node *s = bpf_map_lookup_elem(&settings, &zero);

	if (c->container || !s)
		return 0;
	n.mnt_ns = ns->ns.inum;
	if (n.mnt_ns != s->host_mnt_ns)
		n.start = bpf_ktime_get_tai_ns() - s->tai_offset;
	n.last_mount = last_mount(ns);
	if (bpf_map_update_elem(&containers, &r->cgroup, &n, BPF_NOEXIST)) {
		count(&full, FULL_CONTAINERS);
		return 0;
	}
	c->container = r->cgroup;
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

/*
 * A judged process without a record: one is made if there is room now, else its
 * exec is judged by what its task remembers.
 */
static __always_inline struct proc *recover(struct task_struct *task, struct orphan *o)
{
	struct subject s = { .task = task, .slot = o->slot, .pod = o->pod };
	struct proc *r = make_proc(task->tgid);
	struct creds now;
	__u32 gain;

	if (r) {
		r->slot = o->slot;
		r->pod = o->pod;
		r->base = o->base;
		r->flags = PROC_JUDGED;
		return r;
	}
	read_creds(task, &now);
	gain = gain_of(&o->base, &now);
	if (!gain)
		lower(&o->base, &now);
	else if (act_on_gain(&s, &o->base, &now, gain, 1))
		o->base = now;
	return 0;
}

static __always_inline int on_exec(struct task_struct *task, __u32 old_pid, struct linux_binprm *bprm)
{
	__u32 tgid = task->tgid, entry = 0;
	struct file *file = bprm->file;
	struct mount *mnt = mount_of(file);
	struct mnt_namespace *ns = task->nsproxy->mnt_ns;
	bool own = mnt->mnt_ns == ns;
	struct proc *r = proc_of(tgid);
	__u64 cgroup = cgroup_of(task);
	struct cgroup_pod *c = pod_of(cgroup);
	struct container *in;
	struct orphan *o = r ? 0 : bpf_task_storage_get(&orphans, task, 0, 0);
	bool judged;

	if (o) {
		r = recover(task, o);
		if (!r)
			return 0;
	}
	judged = r && r->flags & PROC_JUDGED;
	if (!c && !judged) {
		c = own ? join(task, cgroup) : 0;
		if (!c)
			return 0;
	}
	if (!r)
		r = make_proc(tgid);
	if (!r)
		return 0;
	r->parent_exec_id = r->exec_id ?: r->parent_exec_id;
	r->exec_id = bpf_ktime_get_boot_ns();
	r->pid = tgid;
	r->parent_pid = task->real_parent->tgid;
	r->cgroup = cgroup;
	r->mnt_ns = ns->ns.inum;
	r->net_ns = task->nsproxy->net_ns->ns.inum;
	r->pid_ns = task->nsproxy->pid_ns_for_children->ns.inum;
	r->flags &= PROC_JUDGED;
	if (c && !judged) {
		r->slot = c->slot;
		r->pod = c->pod;
	}
	walk_path(r, file);
	r->mount = mount_id(mnt);
	r->program.ino = file->f_inode->i_ino;
	r->program.dev = file->f_inode->i_sb->s_dev;
	read_creds(task, &r->creds);
	if (judged) {
		check_exec(task, r, old_pid);
	} else if (own && c) {
		entry = enter(task, r, c, ns);
		r->program.container = c->container;
		r->base = r->creds;
		r->flags |= PROC_JUDGED;
	}
	in = bpf_map_lookup_elem(&containers, &r->program.container);
	if (own && in && image_mount(mnt, ns, in) && image_file(file->f_inode, in))
		r->flags |= PROC_IMAGE;
	emit_exec(task, r, entry);
	return 0;
}

#endif
