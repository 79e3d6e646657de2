//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs of a container's image whose mode, owner or times change keep their content,
 * and so are the image's still: the inode's change time alone does not tell. What somebody
 * could write to is not, ever after: through a map of a file behind overlayfs it is written
 * when no writer of it is open, and at no time that its inode tells.
 *
 * Hooks: lsm inode_setattr, inode_post_setattr (6.9), file_open, inode_rename, inode_link.
 * Only observe.
 * Closed: what is not noted here counts as changed.
 */
#include "binary.h"
#include "process.h"

#define ATTR_SIZE (1 << 3) /* include/linux/fs.h */
#define FMODE_WRITE 2
#define S_IFMT 0170000
#define S_IFREG 0100000

struct mnt_idmap;

/* The key of an inode in the container of current; the container, 0 if there is none. */
static __always_inline struct container *in_container(struct touched_key *k, struct inode *inode)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct proc *r = proc_of(task->tgid);
	struct orphan *o = r ? 0 : orphan_by(task);
	__u64 id;

	if (r && r->flags & PROC_JUDGED)
		id = r->program.container;
	else if (o)
		id = o->container;
	else
		return 0;
	k->container = id;
	k->ino = inode->i_ino;
	k->dev = inode->i_sb->s_dev;
	k->generation = inode->i_generation;
	return bpf_map_lookup_elem(&containers, &id);
}

static __always_inline bool is_program(struct inode *inode)
{
	return (inode->i_mode & S_IFMT) == S_IFREG && inode->i_mode & 0111;
}

/* Notes that a program may not be what it was; of what has changed anyway the time tells. */
static __always_inline void doubt(const struct touched_key *k, struct inode *inode, struct container *c)
{
	struct touched_at doubtful = { .doubtful = 1 };

	if (!bpf_map_lookup_elem(&touched, k) && !(is_program(inode) && changed(inode) <= c->start))
		return;
	if (bpf_map_update_elem(&touched, k, &doubtful, BPF_ANY)) {
		count(&full, FULL_TOUCHED);
		c->unwatched = 1;
	}
}

/* The inode is locked from here to touch_ends. */
SEC("lsm/inode_setattr")
int BPF_PROG(touch_begins, struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr, int ret)
{
	struct inode *inode = cast(dentry->d_inode, struct inode); /* new verifiers think that it may be 0 */
	struct touched_at begun = { .begun = 1 }, *t;
	struct touched_key k = {};
	struct container *c = in_container(&k, inode);

	if (ret || !c)
		return ret;
	t = bpf_map_lookup_elem(&touched, &k);
	if (attr->ia_valid & ATTR_SIZE)
		doubt(&k, inode, c);
	else if (t)
		t->begun = t->changed == changed(inode) || changed(inode) <= c->start;
	else if (is_program(inode) && changed(inode) <= c->start &&
		 bpf_map_update_elem(&touched, &k, &begun, BPF_NOEXIST))
		count(&full, FULL_TOUCHED);
	return 0;
}

SEC("lsm/inode_post_setattr")
int BPF_PROG(touch_ends, struct mnt_idmap *idmap, struct dentry *dentry)
{
	struct inode *inode = cast(dentry->d_inode, struct inode);
	struct touched_key k = {};
	struct touched_at *t;

	if (!in_container(&k, inode))
		return 0;
	t = bpf_map_lookup_elem(&touched, &k);
	if (!t || !t->begun)
		return 0;
	t->begun = 0;
	t->changed = inode->i_writecount.counter > 0 ? 0 : changed(inode);
	return 0;
}

/* Who may write counts as a writer before this. */
SEC("lsm/file_open")
int BPF_PROG(touch_writer, struct file *file, int ret)
{
	struct inode *inode = file->f_inode;
	struct touched_key k = {};
	struct container *c;

	if (ret || !(file->f_mode & FMODE_WRITE))
		return ret;
	c = in_container(&k, inode);
	if (c)
		doubt(&k, inode, c);
	return 0;
}

/* By another name it is another program; in the tick of a chmod the time does not tell. */
static __always_inline void note_name(struct dentry *dentry)
{
	struct inode *inode = cast(dentry->d_inode, struct inode);
	struct touched_key k = {};
	struct container *c = in_container(&k, inode);

	if (c)
		doubt(&k, inode, c);
}

SEC("lsm/inode_rename")
int BPF_PROG(touch_renamed, struct inode *from, struct dentry *old, struct inode *to, struct dentry *new, int ret)
{
	if (!ret)
		note_name(old);
	return ret;
}

SEC("lsm/inode_link")
int BPF_PROG(touch_linked, struct dentry *old, struct inode *to, struct dentry *new, int ret)
{
	if (!ret)
		note_name(old);
	return ret;
}

char _license[] SEC("license") = "Dual BSD/GPL";
