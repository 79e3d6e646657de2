/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A program file as an exec finds it: inode, mount, path. */
#ifndef SLUICE_BINARY_H
#define SLUICE_BINARY_H

#include "maps.h"

#define MAX_NAMES 64 /* components and mounts of a path */

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
	__u32 folder; /* where the last name of the path begins */
	__u32 done;
	__u32 _pad;
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
	n = dentry->d_name.len;
	if (dentry->d_parent == dentry) { /* not under its mount's root: unreachable */
		if (at == PATH_LEN - 1 && n < at) { /* of a memfd the name is all there is */
			w->at = at - n;
			bpf_probe_read_kernel(&walk[(at - n) & (PATH_LEN - 1)], n & (PATH_LEN - 1),
					      dentry->d_name.name);
		}
		return 1;
	}
	if (n + 1 > at || at >= PATH_LEN)
		return 1;
	at -= n + 1;
	if (!w->folder)
		w->folder = at + 1;
	walk[at & (PATH_LEN - 1)] = '/';
	bpf_probe_read_kernel(&walk[(at + 1) & (PATH_LEN - 1)], n & (PATH_LEN - 1), dentry->d_name.name);
	w->dentry = dentry->d_parent;
	w->at = at;
	return 0;
}

static __always_inline struct mount *mount_around(struct vfsmount *mnt)
{
	return cast((void *)mnt - bpf_core_field_offset(struct mount, mnt), struct mount);
}

static __always_inline struct mount *mount_of(struct file *file)
{
	return mount_around(file->f_path.mnt);
}

/* Where a path ends. To a global function its pointers are but numbers. */
struct leaf {
	struct mount *mnt;
	struct dentry *dentry;
};

/*
 * Writes a path, seen from the root of its mount namespace, and how many bits of it are
 * the folder that its last name lies in, with the slash; 0: cut. Global, see parse_ip in
 * frame.h.
 */
__noinline int walk_from(struct path_key *to, __u32 *folder, const struct leaf *from)
{
	struct walk w = { .at = PATH_LEN - 1 };
	__u32 len, zero = 0;

	if (!to || !folder || !from)
		return 0;
	w.dentry = from->dentry;
	w.mnt = from->mnt;
	__builtin_memset(to, 0, sizeof(*to));
	*folder = 0;
	w.scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!w.scratch)
		return 0;
	if (bpf_preempt_disable)
		bpf_preempt_disable();
	bpf_loop(MAX_NAMES, step, &w, 0);
	len = PATH_LEN - 1 - w.at;
	barrier_var(len); /* else the next bound is not seen by the verifier */
	*folder = 8 * (w.folder - w.at);
	if (len < PATH_LEN)
		bpf_probe_read_kernel(to, len, w.scratch->walk + (PATH_LEN - 1 - len));
	if (bpf_preempt_enable)
		bpf_preempt_enable();
	return w.done;
}

/* The path of a file. */
static __always_inline bool walk_path(struct path_key *to, __u32 *folder, struct file *file)
{
	struct leaf from = { .mnt = mount_of(file), .dentry = file->f_path.dentry };

	return walk_from(to, folder, &from);
}

#define CTIME_LAG (SECOND / 50) /* inodes have the time of the last tick: 10 ms ago at most, or a late one */
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

static __always_inline __u64 mount_id(struct mount *m)
{
	if (!bpf_core_field_exists(struct mount___unique, mnt_id_unique))
		return m->mnt_id;
	return cast(m, struct mount___unique)->mnt_id_unique;
}

/* The mount that is the root of a task: of a container when it begins. */
static __always_inline __u64 root_of(struct task_struct *task)
{
	return mount_id(mount_around(task->fs->root.mnt));
}

static __always_inline void look_at(struct binary *b, struct file *file, struct mnt_namespace *ns)
{
	struct mount *mnt = mount_of(file);
	struct inode *inode = file->f_inode;

	b->ino = inode->i_ino;
	b->dev = inode->i_sb->s_dev;
	b->changed = changed(inode);
	b->mount = mount_id(mnt);
	b->generation = inode->i_generation;
	b->flags = 0;
	if (mnt->mnt_ns == ns)
		b->flags |= BINARY_OWN;
	if (mnt == ns->root || mnt->mnt_parent == ns->root)
		b->flags |= BINARY_ROOT;
}

/* Has a file of the root mount kept its content, as bpf/lsm/touch.bpf.c has seen? Others may
   write to a volume. */
static __always_inline bool only_touched(const struct binary *b, const struct container *c, __u64 container)
{
	struct touched_key k = { .container = container, .ino = b->ino, .dev = b->dev, .generation = b->generation };
	struct touched_at *t = b->mount == c->root ? bpf_map_lookup_elem(&touched, &k) : 0;

	return t && t->changed == b->changed;
}

/*
 * Did the container begin with this file, and with the mount that it lies on? What
 * the pod made or changed it did not. Where mounts have no unique ids, only the
 * root and what lies on it count.
 */
static __always_inline bool of_image(const struct binary *b, __u32 mnt_ns, const struct container *c, __u64 container)
{
	if (!(b->flags & BINARY_OWN) || mnt_ns != c->mnt_ns)
		return false;
	if (c->start && b->changed > c->start && !only_touched(b, c, container))
		return false;
	return c->last_mount ? b->mount <= c->last_mount : b->flags & BINARY_ROOT;
}

#endif
