/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Uses of files by a pod's processes: what the rules say, what is done about it. */
#ifndef SLUICE_GUARD_H
#define SLUICE_GUARD_H

#include "file.h"

#define EPERM 1

#define BIT(N) (1U << (N))
#define EVERY_OPERATION (BIT(OPERATIONS) - 1)

/* Who uses files, and under which rules. */
struct user {
	struct actor a;
	const struct ruleset *rules;
	__u64 container;
};

/* Is current a process under rules on files? */
static __always_inline bool find_user(struct user *u)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct orphan *o;

	u->a.task = task;
	u->a.r = proc_of(task->tgid);
	if (u->a.r) {
		if (!(u->a.r->flags & PROC_JUDGED))
			return false;
		u->a.slot = u->a.r->slot;
		u->a.pod = u->a.r->pod;
		u->container = u->a.r->program.container;
	} else {
		o = orphan_by(task);
		if (!o)
			return false;
		u->a.slot = o->slot;
		u->a.pod = o->pod;
		u->container = o->container;
	}
	u->rules = rules_of(u->a.slot, u->a.pod);
	if (!u->rules || !(u->rules->files[ENFORCED] | u->rules->files[AUDITED]))
		return false;
	return true;
}

/* A use that is being judged. */
struct file_use {
	const struct ruleset *rules;
	struct readings file;
	struct identity who;
	__u32 operations; /* that are asked for, by bit */
	__u32 operation; /* that by is on */
	struct ruling by; /* the strongest so far */
};

static __always_inline bool has_rules(const struct ruleset *rs, enum judgement j, __u32 operation)
{
	struct file_key k = { .list = rs->files[j], .file = FILE_ANYTHING, .operation = operation };

	return k.list && bpf_map_lookup_elem(&file_rules, &k);
}

/* Leaves out an operation that the pod has no rules on. */
static long leave_out(__u32 operation, struct file_use *u)
{
	if (u->operations & BIT(operation & 31) && !has_rules(u->rules, ENFORCED, operation) &&
	    !has_rules(u->rules, AUDITED, operation))
		u->operations &= ~BIT(operation & 31);
	return 0;
}

static __always_inline void rule_reading(struct file_use *u, __u32 operation, const struct identity *file)
{
	struct ruling by = {};

	if (nothing(file))
		return;
	rule_file(&by, u->rules, operation, file, &u->who);
	if (by.action <= u->by.action)
		return;
	u->by = by;
	u->operation = operation;
}

static long rule_operation(__u32 operation, struct file_use *u)
{
	if (!(u->operations & BIT(operation & 31)))
		return 0;
	rule_reading(u, operation, &u->file.by_path);
	if (!same_identity(&u->file.by_path, &u->file.by_place))
		rule_reading(u, operation, &u->file.by_place);
	return 0;
}

/* Has a use of this kind been told of, by an Audit rule? A file that is not there yet
   has no number; it is made once. */
static __always_inline bool sampled(const struct actor *a, const struct file_use *u, const struct spot *s)
{
	struct inode *inode = dentry_at(s)->d_inode;
	struct sample_key k = { .rule = u->by.rule, .operation = u->operation };
	__u32 one = 1;

	if (u->by.action != ACTION_AUDIT || !inode)
		return false;
	inode = cast(inode, struct inode);
	k.exec_id = a->r ? a->r->exec_id : 0;
	k.ino = inode->i_ino;
	k.dev = inode->i_sb->s_dev;
	if (bpf_map_lookup_elem(&samples, &k))
		return true;
	bpf_map_update_elem(&samples, &k, &one, BPF_ANY);
	return false;
}

static __always_inline void report_use(const struct actor *a, const struct file_use *u, const struct spot *s)
{
	struct act_event *e = begin_act(a, &u->by, ACT_FILE, u->operation, 0, !sampled(a, u, s));
	struct walk w = { .dentry = (void *)s->dentry, .mnt = (void *)s->mnt };
	struct scratch *path;

	if (!e)
		return;
	path = open_path(&w);
	if (path)
		__builtin_memcpy(e->object, path->key.path, PATH_LEN);
	else
		__builtin_memset(e->object, 0, PATH_LEN);
	close_path();
	bpf_ringbuf_submit(e, 0);
}

/* What is asked of guard. */
struct request {
	struct spot at;
	__u32 operations; /* by bit */
	__u32 told; /* as which operation; OPERATIONS: as that which is ruled on */
	__u32 above; /* enum action: what is told of already */
	__u32 prevents; /* 1: what is denied does not happen */
};

/*
 * Judges a use of a file and does what the rules say: the action, ACTION_DENY and above
 * if it is not to happen. Global, see parse_ip in frame.h.
 */
__noinline int guard(const struct request *q)
{
	struct file_use u = {};
	struct user by;

	if (!q || !find_user(&by))
		return 0;
	u.operations = q->operations;
	u.rules = by.rules;
	bpf_loop(u.operations < BIT(OP_CREATE) ? OP_CREATE : OPERATIONS, leave_out, &u, 0);
	if (!u.operations)
		return 0;
	read_file(&u.file, &q->at, by.container, q->prevents);
	if (nothing(&u.file.by_path) && nothing(&u.file.by_place))
		return 0;
	identify(&u.who, by.a.r);
	bpf_loop(u.operations < BIT(OP_CREATE) ? OP_CREATE : OPERATIONS, rule_operation, &u, 0);
	if (u.by.action <= q->above)
		return 0;
	if (u.by.action == ACTION_DENY && !q->prevents)
		u.by.action = ACTION_OBSERVE;
	if (u.by.action == ACTION_KILL && bpf_send_signal(SIGKILL))
		u.by.action = q->prevents ? ACTION_DENY : ACTION_OBSERVE;
	if (q->told < OPERATIONS)
		u.operation = q->told;
	report_use(&by.a, &u, &q->at);
	return u.by.action;
}

/* Is a file another one to the rules by its new name? Global, see parse_ip in frame.h. */
__noinline int differs(const struct spot *old, const struct spot *new)
{
	struct readings a, b;
	struct user by;

	if (!old || !new || !find_user(&by))
		return 0;
	read_file(&a, old, by.container, 1);
	read_file(&b, new, by.container, 1);
	return !same_identity(&a.by_path, &b.by_path) || !same_identity(&a.by_place, &b.by_place);
}

/* From now on paths in the container may lead elsewhere than they did. */
static __always_inline void note_move(void)
{
	struct container *c;
	struct user by;

	if (!find_user(&by))
		return;
	c = bpf_map_lookup_elem(&containers, &by.container);
	if (c)
		c->moved = 1;
}

#endif
