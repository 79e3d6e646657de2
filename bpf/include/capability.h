/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The use of a capability: a question of the kernel that it is about to answer with yes. */
#ifndef SLUICE_CAPABILITY_H
#define SLUICE_CAPABILITY_H

#include "runtime.h"

#define EPERM 1
#define CAP_OPT_NOAUDIT 2 /* include/linux/security.h */

struct use {
	__u32 ns; /* user namespace in which the capability is asked for */
	__u32 capability;
	bool auditable; /* the kernel would log a refusal: more than a question in passing */
	__u8 _pad[3];
};

/*
 * Does the kernel ask what the process may? Not of credentials that are another's, or
 * were a file opener's; nor of those that it takes for a while for its own ends: overlayfs
 * copies a file up with those of its mounter. What io_uring takes is the process's own,
 * as registered.
 */
static __always_inline bool own_question(struct task_struct *task, const struct cred *cred)
{
	if (cred != task->cred)
		return false;
	if (cred == task->real_cred || task->flags & PF_IO_WORKER)
		return true;
	return bpf_core_field_exists(task->io_uring) && task->io_uring;
}

/* A question that the kernel asks of current, and what the rules say. */
struct asked {
	struct actor by;
	struct ruling ruling;
	__u32 base_ns; /* user namespace of the process's entry */
	__u32 _pad;
};

/* False: nothing is to be done about it. */
static __always_inline bool rule_use(struct asked *q, const struct cred *cred, const struct use *u)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct proc *r = proc_of(task->tgid);
	struct orphan *o = r ? 0 : orphan_by(task);
	struct identity who, nobody = {};
	struct ruleset *rs;

	q->by.task = task;
	q->by.r = r;
	if (r && r->flags & PROC_JUDGED) {
		q->by.slot = r->slot;
		q->by.pod = r->pod;
		q->base_ns = r->base.user_ns;
	} else if (o) {
		q->by.slot = o->slot;
		q->by.pod = o->pod;
		q->base_ns = o->base.user_ns;
	} else {
		return false;
	}
	if (!own_question(task, cred))
		return false;
	rs = rules_of(q->by.slot, q->by.pod);
	if (!rs || !restricted(rs->capabilities))
		return false;
	identify(&who, r);
	rule_on(&q->ruling, rs->capabilities, 1 + u->capability, &who, &nobody);
	return q->ruling.action != ACTION_IGNORE;
}

/*
 * What is done about a use that is not allowed: 0, or -EPERM where a denial counts.
 * Nobody is killed for what the kernel asks in passing: it is refused, if it can be.
 */
static __always_inline int settle_use(struct asked *q, const struct use *u, bool denies)
{
	__u32 flags = (u->auditable ? ACT_AUDITABLE : 0) | (u->ns != q->base_ns ? ACT_OTHER_NS : 0);
	struct ruling *by = &q->ruling;
	int ret = 0;

	if (by->action == ACTION_KILL && !u->auditable)
		by->action = denies ? ACTION_DENY : ACTION_OBSERVE;
	if (by->action == ACTION_DENY && !denies)
		by->action = ACTION_OBSERVE;
	if (denies && by->action >= ACTION_DENY)
		ret = -EPERM;
	if (by->action == ACTION_KILL && bpf_send_signal(SIGKILL))
		by->action = denies ? ACTION_DENY : ACTION_OBSERVE;
	report_act(&q->by, by, ACT_CAPABILITY, u->capability, flags, 0);
	return ret;
}

#endif
