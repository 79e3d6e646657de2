/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A program file as an exec finds it: inode, mount, path. */
#ifndef SLUICE_BINARY_H
#define SLUICE_BINARY_H

#include "path.h"

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
	struct walk w = {};
	struct scratch *s;

	if (!to || !folder || !from)
		return 0;
	w.dentry = from->dentry;
	w.mnt = from->mnt;
	s = open_path(&w);
	*folder = s ? s->key.len : 0;
	if (s)
		__builtin_memcpy(to, s->key.path, sizeof(*to));
	else
		__builtin_memset(to, 0, sizeof(*to));
	close_path();
	return s && whole(&w);
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

static __always_inline __u32 mount_flags(struct mount *m, struct mnt_namespace *ns)
{
	__u32 flags = m->mnt_ns == ns ? BINARY_OWN : 0;

	return m == ns->root || m->mnt_parent == ns->root ? flags | BINARY_ROOT : flags;
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
	b->flags = mount_flags(mnt, ns);
}

/* Has a file of the root mount kept its content, as bpf/lsm/touch.bpf.c has seen? Others may
   write to a volume. */
static __always_inline bool only_touched(const struct binary *b, const struct container *c, __u64 container)
{
	struct touched_key k = { .container = container, .ino = b->ino, .dev = b->dev, .generation = b->generation };
	struct touched_at *t = b->mount == c->root ? bpf_map_lookup_elem(&touched, &k) : 0;

	return t && !t->doubtful && !c->unwatched && t->changed == b->changed;
}

/*
 * Did the container begin with a mount? Where mounts have no unique ids, only the root
 * and what lies on it count.
 */
static __always_inline bool of_beginning(__u32 flags, __u64 mount, __u32 mnt_ns, const struct container *c)
{
	if (!(flags & BINARY_OWN) || mnt_ns != c->mnt_ns)
		return false;
	return c->last_mount ? mount <= c->last_mount : flags & BINARY_ROOT;
}

/* Did the container begin with this file, and with the mount that it lies on? What
   the pod made or changed it did not. */
static __always_inline bool of_image(const struct binary *b, __u32 mnt_ns, const struct container *c, __u64 container)
{
	return of_beginning(b->flags, b->mount, mnt_ns, c) &&
	       !(c->start && b->changed > c->start && !only_touched(b, c, container));
}

/* Notes the script that an exec begins with, for known_by. */
static __always_inline void note_script(struct task_struct *task, struct linux_binprm *bprm, struct file *file)
{
	struct script *s = bpf_task_storage_get(&scripts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!s) {
		count(&full, FULL_SCRIPTS);
		return;
	}
	s->bprm = (__u64)bprm;
	look_at(&s->binary, file, task->nsproxy->mnt_ns);
	if (!walk_path(&s->path, &s->folder, file))
		s->binary.flags |= BINARY_CUT;
}

#endif
