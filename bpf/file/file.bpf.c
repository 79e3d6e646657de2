//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Uses of files that the pod's rules do not allow are prevented: the caller gets EPERM,
 * and is killed where the rules say so.
 *
 * Hooks: lsm file_open and those below, each for an operation.
 * Closed for files that cannot be described, as the strictest of the rules has it; open
 * for processes outside pods.
 */
#include "guard.h"

#define FMODE_READ 1 /* include/linux/fs.h */
#define FMODE_WRITE 2
#define FMODE_EXEC 0x20
#define PROT_EXEC 4
#define VM_EXEC 4

struct mnt_idmap;
struct posix_acl;

#define MS_REMOUNT 32
#define MS_MOVE 8192
#define MS_PROPAGATION (15 << 17) /* MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED */
#define RENAME_EXCHANGE 2

/* The answer of a hook. */
static __always_inline int answer(struct dentry *dentry, struct vfsmount *mnt, __u32 operations)
{
	struct request q = { .operations = operations, .told = OPERATIONS, .prevents = 1 };

	set_spot(&q.at, dentry, mnt);
	return guard(&q) >= ACTION_DENY ? -EPERM : 0;
}

static __always_inline int answer_file(struct file *file, __u32 operations)
{
	return answer(file->f_path.dentry, file->f_path.mnt, operations);
}

static __always_inline __u32 opened_for(struct file *file)
{
	__u32 mode = file->f_mode, operations = mode & FMODE_WRITE ? BIT(OP_WRITE) : 0;

	return mode & FMODE_READ ? operations | BIT(OP_READ) : operations;
}

/* What is opened to be run is not read by who runs it. */
SEC("lsm/file_open")
int BPF_PROG(lsm_open, struct file *file, int ret)
{
	__u32 operations = opened_for(file);

	if (file->f_flags & FMODE_EXEC)
		operations &= ~BIT(OP_READ);
	return ret || !operations ? ret : answer_file(file, operations);
}

/* A descriptor that another process has opened. */
SEC("lsm/file_receive")
int BPF_PROG(lsm_receive, struct file *file, int ret)
{
	__u32 operations = opened_for(file);

	return ret || !operations ? ret : answer_file(file, operations);
}

SEC("lsm/path_mknod")
int BPF_PROG(lsm_mknod, const struct path *dir, struct dentry *dentry, umode_t mode, unsigned int dev, int ret)
{
	return ret ?: answer(dentry, dir->mnt, BIT(OP_CREATE));
}

SEC("lsm/path_mkdir")
int BPF_PROG(lsm_mkdir, const struct path *dir, struct dentry *dentry, umode_t mode, int ret)
{
	return ret ?: answer(dentry, dir->mnt, BIT(OP_CREATE));
}

SEC("lsm/path_symlink")
int BPF_PROG(lsm_symlink, const struct path *dir, struct dentry *dentry, const char *to, int ret)
{
	return ret ?: answer(dentry, dir->mnt, BIT(OP_CREATE));
}

SEC("lsm/path_unlink")
int BPF_PROG(lsm_unlink, const struct path *dir, struct dentry *dentry, int ret)
{
	return ret ?: answer(dentry, dir->mnt, BIT(OP_DELETE));
}

SEC("lsm/path_rmdir")
int BPF_PROG(lsm_rmdir, const struct path *dir, struct dentry *dentry, int ret)
{
	return ret ?: answer(dentry, dir->mnt, BIT(OP_DELETE));
}

/*
 * A file gets a name that is another to the rules: whoever gives it could do all with
 * the file then that the rules forbid by the old name, and have the new name stand for
 * what they like.
 */
static __always_inline __u32 guard_name(struct spot *old, struct spot *new, __u32 operation, __u32 above)
{
	struct request q = { .at = *old, .operations = BIT(operation), .told = operation, .prevents = 1 };
	__u32 action;

	if (differs(old, new))
		q.operations = EVERY_OPERATION;
	q.above = above;
	action = guard(&q);
	if (action >= ACTION_DENY)
		return action;
	if (action > above)
		q.above = above = action;
	q.at = *new;
	q.operations = BIT(OP_CREATE) | BIT(OP_WRITE) | BIT(operation);
	action = guard(&q);
	return action > above ? action : above;
}

static __always_inline bool is_folder(struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;

	return inode && (cast(inode, struct inode)->i_mode & S_IFMT) == S_IFDIR;
}

SEC("lsm/path_rename")
int BPF_PROG(lsm_rename, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry, unsigned int flags, int ret)
{
	bool exchange = flags & RENAME_EXCHANGE;
	struct spot old, new;
	__u32 action;

	if (ret)
		return ret;
	set_spot(&old, old_dentry, old_dir->mnt);
	set_spot(&new, new_dentry, new_dir->mnt);
	action = guard_name(&old, &new, OP_RENAME, ACTION_IGNORE);
	if (action < ACTION_DENY && exchange)
		action = guard_name(&new, &old, OP_RENAME, action);
	if (action >= ACTION_DENY)
		return -EPERM;
	if (is_folder(old_dentry) || (exchange && is_folder(new_dentry)))
		note_move();
	return 0;
}

SEC("lsm/path_link")
int BPF_PROG(lsm_link, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry, int ret)
{
	struct spot old, new;

	if (ret)
		return ret;
	set_spot(&old, old_dentry, new_dir->mnt); /* or it would have been refused */
	set_spot(&new, new_dentry, new_dir->mnt);
	return guard_name(&old, &new, OP_LINK, ACTION_IGNORE) >= ACTION_DENY ? -EPERM : 0;
}

SEC("lsm/path_chmod")
int BPF_PROG(lsm_chmod, const struct path *path, umode_t mode, int ret)
{
	return ret ?: answer(path->dentry, path->mnt, BIT(OP_CHMOD));
}

/* An access control list is a mode too. The hook has no mount: a file that the path does
   not tell of then goes by its place. */
static __always_inline int answer_acl(struct dentry *dentry)
{
	return answer(dentry, bpf_get_current_task_btf()->fs->root.mnt, BIT(OP_CHMOD));
}

SEC("lsm/inode_set_acl")
int BPF_PROG(lsm_set_acl, struct mnt_idmap *idmap, struct dentry *dentry, const char *name, struct posix_acl *acl,
	     int ret)
{
	return ret ?: answer_acl(dentry);
}

SEC("lsm/inode_remove_acl")
int BPF_PROG(lsm_remove_acl, struct mnt_idmap *idmap, struct dentry *dentry, const char *name, int ret)
{
	return ret ?: answer_acl(dentry);
}

SEC("lsm/path_chown")
int BPF_PROG(lsm_chown, const struct path *path, unsigned long long uid, unsigned long long gid, int ret)
{
	return ret ?: answer(path->dentry, path->mnt, BIT(OP_CHOWN));
}

SEC("lsm/path_truncate")
int BPF_PROG(lsm_truncate, const struct path *path, int ret)
{
	return ret ?: answer(path->dentry, path->mnt, BIT(OP_TRUNCATE));
}

/* Also of an open with O_TRUNC. */
SEC("lsm/file_truncate")
int BPF_PROG(lsm_ftruncate, struct file *file, int ret)
{
	return ret ?: answer_file(file, BIT(OP_TRUNCATE));
}

/* An exec maps what it makes the process of: that is a rule on execs to judge. */
static __always_inline bool in_exec(void)
{
	struct task_struct___exec *task = (void *)bpf_get_current_task_btf();

	return bpf_core_field_exists(task->in_execve) && BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

/* No file: 0, which not every kernel's verifier believes of an argument. */
static __always_inline int answer_mapping(struct file *file)
{
	return file && !in_exec() ? answer_file(file, BIT(OP_MMAP_EXEC)) : 0;
}

SEC("lsm/mmap_file")
int BPF_PROG(lsm_mmap, struct file *file, unsigned long asked, unsigned long prot, unsigned long flags, int ret)
{
	return ret || !(prot & PROT_EXEC) ? ret : answer_mapping(cast(file, struct file));
}

SEC("lsm/file_mprotect")
int BPF_PROG(lsm_mprotect, struct vm_area_struct *vma, unsigned long asked, unsigned long prot, int ret)
{
	if (ret || !(prot & PROT_EXEC) || vma->vm_flags & VM_EXEC)
		return ret;
	return answer_mapping(cast(vma->vm_file, struct file));
}

/* What is mounted over a file hides it, and is taken for it. */
static __always_inline int answer_mount(const struct path *at, bool moves)
{
	int ret = answer(at->dentry, at->mnt, BIT(OP_MOUNT_OVER));

	if (!ret && moves)
		note_move();
	return ret;
}

SEC("lsm/sb_mount")
int BPF_PROG(lsm_mount, const char *dev, const struct path *path, const char *type, unsigned long flags, void *data,
	     int ret)
{
	if (ret || flags & (MS_REMOUNT | MS_PROPAGATION))
		return ret;
	return answer_mount(path, flags & MS_MOVE);
}

SEC("lsm/move_mount")
int BPF_PROG(lsm_move_mount, const struct path *from, const struct path *to, int ret)
{
	return ret ?: answer_mount(to, true);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(lsm_pivot_root, const struct path *put, const struct path *root, int ret)
{
	return ret ?: answer_mount(put, true);
}

char _license[] SEC("license") = "Dual BSD/GPL";
