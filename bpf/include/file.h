/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a file is to the rules. To take one for another that is covered is the safe
 * side, so a file is read twice: by its path, and, where paths may tell anything, by
 * its place in its filesystem.
 */
#ifndef SLUICE_FILE_H
#define SLUICE_FILE_H

#include "binary.h"
#include "runtime.h"

#define S_IFMT 0170000
#define S_IFDIR 0040000
#define MAX_ERRNO 4095

/* Where a file is, as a struct path says it. */
struct spot {
	__u64 dentry;
	__u64 mnt; /* struct mount */
};

/* What a file is to the rules, both ways; the stricter answer counts. */
struct readings {
	struct identity by_path;
	struct identity by_place;
};

static __always_inline void set_spot(struct spot *s, struct dentry *dentry, struct vfsmount *mnt)
{
	s->dentry = (__u64)dentry;
	s->mnt = (__u64)mount_around(mnt);
}

static __always_inline struct dentry *dentry_at(const struct spot *s)
{
	return cast((void *)s->dentry, struct dentry);
}

static __always_inline void set_program(struct program *p, struct inode *inode, __u64 container)
{
	p->container = container;
	p->ino = inode->i_ino;
	p->dev = inode->i_sb->s_dev;
	p->_pad = 0;
}

/* The id of a file that the agent has found by a path of a rule's. */
static __always_inline __u32 found_at(const struct spot *s, __u64 container)
{
	struct inode *inode = dentry_at(s)->d_inode;
	struct program p;
	__u32 *id;

	if (!inode)
		return 0;
	set_program(&p, cast(inode, struct inode), container);
	id = bpf_map_lookup_elem(&programs, &p);
	return id ? *id : 0;
}

/* Adds what the path says; enum walk_end. */
static __always_inline __u32 read_by_path(struct identity *as, const struct spot *s)
{
	struct walk w = { .dentry = (void *)s->dentry, .mnt = (void *)s->mnt };
	struct scratch *path = open_path(&w);
	struct folder *f;
	__u32 *id;

	if (path) {
		id = as->id[0] || w.len >= PATH_LEN ? 0 : bpf_map_lookup_elem(&paths, path->key.path);
		if (id)
			as->id[0] = *id;
		f = bpf_map_lookup_elem(&folders, &path->key);
		if (f) {
			as->id[1] = f->len == path->key.len ? f->files : 0;
			as->id[2] = f->below;
		}
	}
	close_path();
	return w.end;
}

struct ascent {
	struct spot at;
	__u64 container;
	struct identity *as;
};

/* One step up: to the folder around, however it is mounted, or to where a filesystem is. */
static long ascend(__u32 i, struct ascent *up)
{
	struct dentry *dentry = dentry_at(&up->at), *parent = dentry->d_parent;
	struct program p;
	struct folder *f;

	if (parent == dentry) {
		struct mount *mnt = cast((void *)up->at.mnt, struct mount);

		if (mnt->mnt_parent == mnt)
			return 1;
		up->at.dentry = (__u64)mnt->mnt_mountpoint;
		up->at.mnt = (__u64)mnt->mnt_parent;
		return 0;
	}
	up->at.dentry = (__u64)parent;
	set_program(&p, cast(cast(parent, struct dentry)->d_inode, struct inode), up->container);
	f = bpf_map_lookup_elem(&places, &p);
	if (!f)
		return 0;
	up->as->id[1] = i ? 0 : f->files;
	up->as->id[2] = f->below;
	return 1;
}

/*
 * Reads a file that a process of a container uses. Its path tells what it is as long
 * as the container's mounts and folders are those that it began with. The kernel's own
 * mounts are below an overlay: the file is judged above it, unless the pod made that.
 * What is moved is noticed if moves are watched.
 * Global, see parse_ip in frame.h.
 */
__noinline int read_file(struct readings *out, const struct spot *s, __u64 container, int watched)
{
	struct container *c = bpf_map_lookup_elem(&containers, &container);
	struct mnt_namespace *ns = bpf_get_current_task_btf()->nsproxy->mnt_ns;
	__u32 *known = bpf_map_lookup_elem(&resolved, &container), end = WALK_ROOT, found;
	struct ascent up = { .container = container };
	bool kernels, elsewhere;
	struct mount *mnt;

	if (!out || !s)
		return 0;
	__builtin_memset(out, 0, sizeof(*out));
	mnt = cast((void *)s->mnt, struct mount);
	kernels = (__u64)mnt->mnt_ns >= (__u64)-MAX_ERRNO;
	if (kernels && c && c->last_mount && mount_id(mnt) <= c->last_mount)
		return 0;
	elsewhere = !c || c->moved || !of_beginning(mount_flags(mnt, ns), mount_id(mnt), ns->ns.inum, c);
	out->by_path.id[0] = out->by_place.id[0] = found = found_at(s, container);
	if (!kernels)
		end = read_by_path(&out->by_path, s);
	if (elsewhere || !watched || end == WALK_STRAY || (known && *known & RESOLVED_ELSEWHERE)) {
		up.at = *s;
		up.as = &out->by_place;
		bpf_loop(MAX_NAMES, ascend, &up, 0);
	}
	if (kernels || found)
		return 0;
	if (end == WALK_CUT || end == WALK_LOST || (!known && (elsewhere || end == WALK_STRAY)))
		out->by_path.id[0] = FILE_ANYTHING;
	return 0;
}

static __always_inline bool nothing(const struct identity *as)
{
	return !as->id[0] && !as->id[1] && !as->id[2];
}

static __always_inline bool same_identity(const struct identity *a, const struct identity *b)
{
	return a->id[0] == b->id[0] && a->id[1] == b->id[1] && a->id[2] == b->id[2];
}

#endif
