/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The use of a capability: a question of the kernel that it is about to answer with yes. */
#ifndef SLUICE_CAPABILITY_H
#define SLUICE_CAPABILITY_H

#include "runtime.h"

#define EPERM 1
#define CAP_OPT_NOAUDIT 2 /* include/linux/security.h */

#define PF_IO_WORKER 0x10 /* include/linux/sched.h: of io_uring */

struct use {
	__u32 ns; /* user namespace in which the capability is asked for */
	__u32 capability;
	bool auditable; /* the kernel would log a refusal: more than a question in passing */
	__u8 _pad[3];
};

/*
 * What is done about a use that is not allowed. Nobody is killed for what the kernel
 * asks in passing: it is refused, if it can be.
 */
static __always_inline int settle_use(const struct actor *a, const struct use *u, struct ruling *by, __u32 base_ns,
				      bool denies)
{
	__u32 flags = (u->auditable ? ACT_AUDITABLE : 0) | (u->ns != base_ns ? ACT_OTHER_NS : 0);
	int ret = 0;

	if (by->action == ACTION_KILL && !u->auditable)
		by->action = denies ? ACTION_DENY : ACTION_OBSERVE;
	if (by->action == ACTION_DENY && !denies)
		by->action = ACTION_OBSERVE;
	if (denies && by->action >= ACTION_DENY)
		ret = -EPERM;
	if (by->action == ACTION_KILL && bpf_send_signal(SIGKILL))
		by->action = denies ? ACTION_DENY : ACTION_OBSERVE;
	report_act(a, by, ACT_CAPABILITY, u->capability, flags, 0);
	return ret;
}

/*
 * Does the kernel ask for itself? It does with credentials that it takes for a while:
 * overlayfs copies a file up with those of its mounter. What io_uring takes is the
 * process's own, as registered.
 */
static __always_inline bool for_itself(struct task_struct *task, const struct cred *cred)
{
	if (cred != task->cred || cred == task->real_cred || task->flags & PF_IO_WORKER)
		return false;
	return !bpf_core_field_exists(task->io_uring) || !task->io_uring;
}

/* The answer to a question that the kernel asks of current; denies: it counts. */
static __always_inline int judge_use(const struct cred *cred, const struct use *u, bool denies)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct actor a = { .task = task, .r = proc_of(task->tgid) };
	struct orphan *o = a.r ? 0 : bpf_task_storage_get(&orphans, task, 0, 0);
	struct identity who, nobody = {};
	struct ruleset *rs;
	struct ruling by;

	if (a.r && a.r->flags & PROC_JUDGED) {
		a.slot = a.r->slot;
		a.pod = a.r->pod;
	} else if (o) {
		a.slot = o->slot;
		a.pod = o->pod;
	} else {
		return 0;
	}
	if (for_itself(task, cred))
		return 0;
	rs = rules_of(a.slot, a.pod);
	if (!rs || !restricted(rs->capabilities))
		return 0;
	identify(&who, a.r);
	rule_on(&by, rs->capabilities, 1 + u->capability, &who, &nobody);
	if (by.action == ACTION_IGNORE)
		return 0;
	return settle_use(&a, u, &by, o ? o->base.user_ns : a.r->base.user_ns, denies);
}

#endif
