/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The path of a file as seen from the root of its mount namespace. */
#ifndef SLUICE_PATH_H
#define SLUICE_PATH_H

#include "maps.h"

#define WALK_LEN 8192 /* of a path, which has no limit: no caller of the kernel's can name one of 4,096 */
#define MAX_NAMES (WALK_LEN / 2) /* components and mounts of a path */

/*
 * Where a path is put together, from its end, and what came of it: one per CPU.
 * Tracepoints are not preempted up to 6.18; where they may be, and in LSM programs,
 * which are, it is forbidden for the while (the kfunc is there since 6.10).
 */
struct scratch {
	__u8 walk[WALK_LEN + PATH_LEN];
	struct folder_key key; /* the path, or its beginning, and the folder that the file lies in */
};
ARRAY(scratches, BPF_MAP_TYPE_PERCPU_ARRAY, struct scratch, 1);

extern void bpf_preempt_disable(void) __weak __ksym;
extern void bpf_preempt_enable(void) __weak __ksym;

/* How a walk ended: too long, at the root, outside its mount, on its way to nowhere. */
enum walk_end { WALK_CUT, WALK_ROOT, WALK_STRAY, WALK_LOST };

struct walk {
	struct scratch *scratch;
	struct dentry *dentry;
	struct mount *mnt;
	__u32 at;
	__u32 folder; /* where the last name of the path begins */
	__u32 end; /* enum walk_end */
	__u32 len;
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
		w->end = w->mnt == mnt ? WALK_ROOT : WALK_CUT;
		return w->mnt == mnt;
	}
	n = dentry->d_name.len;
	if (dentry->d_parent == dentry) {
		w->end = dentry == dentry->d_sb->s_root ? WALK_STRAY : WALK_LOST;
		if (at == WALK_LEN - 1 && n < PATH_LEN) { /* of a memfd the name is all there is */
			w->at = at - n;
			bpf_probe_read_kernel(&walk[(at - n) & (WALK_LEN - 1)], n & (PATH_LEN - 1),
					      dentry->d_name.name);
		}
		return 1;
	}
	if (n + 1 > at || at >= WALK_LEN)
		return 1;
	at -= n + 1;
	if (!w->folder)
		w->folder = at + 1;
	walk[at & (WALK_LEN - 1)] = '/';
	bpf_probe_read_kernel(&walk[(at + 1) & (WALK_LEN - 1)], n & (PATH_LEN - 1), dentry->d_name.name);
	w->dentry = dentry->d_parent;
	w->at = at;
	return 0;
}

static __always_inline struct mount *mount_around(struct vfsmount *mnt)
{
	return cast((void *)mnt - bpf_core_field_offset(struct mount, mnt), struct mount);
}

/*
 * Reads the path that w begins at into the scratch of this CPU, which is the caller's
 * until close_path, whether or not there is one. Of a long path it is what is nearest
 * to the root.
 */
static __always_inline struct scratch *open_path(struct walk *w)
{
	__u32 len, zero = 0, folder;
	struct scratch *s;

	w->at = WALK_LEN - 1;
	w->folder = w->end = w->len = 0;
	if (bpf_preempt_disable)
		bpf_preempt_disable();
	s = w->scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!s)
		return 0;
	bpf_loop(MAX_NAMES, step, w, 0);
	w->len = len = WALK_LEN - 1 - w->at;
	folder = w->folder ? w->folder - w->at : 0;
	s->key.len = 8 * (folder < PATH_LEN ? folder : PATH_LEN - 1);
	__builtin_memset(s->key.path, 0, PATH_LEN);
	if (len >= PATH_LEN)
		len = PATH_LEN - 1;
	barrier_var(len); /* else the next bound is not seen by the verifier */
	if (len < PATH_LEN)
		bpf_probe_read_kernel(s->key.path, len, s->walk + (w->at & (WALK_LEN - 1)));
	return s;
}

static __always_inline void close_path(void)
{
	if (bpf_preempt_enable)
		bpf_preempt_enable();
}

/* Was all of it read, and is there room for it in a key? */
static __always_inline bool whole(const struct walk *w)
{
	return w->end == WALK_ROOT && w->len < PATH_LEN;
}

#endif
