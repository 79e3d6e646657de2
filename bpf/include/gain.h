/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Gain of privilege: credentials against a baseline. INTERFACE.md, "Gain of
 * privilege", says what a gain is; one thing is added: whoever holds uid 0 and
 * CAP_SETUID (CAP_SETGID) is everyone already, so that a root daemon that takes
 * another id drops and does not gain.
 */
#ifndef SLUICE_GAIN_H
#define SLUICE_GAIN_H

#include "process.h"

#define CAP_SETGID (1ULL << 6)
#define CAP_SETUID (1ULL << 7)

static __always_inline bool holds(const __u32 ids[3], __u32 id)
{
	return ids[0] == id || ids[1] == id || ids[2] == id;
}

/* enum gain of now over base, 0 for none. */
static __always_inline __u32 gain_of(const struct creds *base, const struct creds *now)
{
	bool root = holds(base->uid, 0);
	__u32 gain = 0;

	if (now->user_ns == base->user_ns && now->caps & ~base->caps)
		gain |= GAIN_CAPS;
	if (!(root && base->caps & CAP_SETUID) && !(holds(base->uid, now->uid[1]) && holds(base->uid, now->uid[2])))
		gain |= GAIN_UID;
	if (!(root && base->caps & CAP_SETGID) && !(holds(base->gid, now->gid[1]) && holds(base->gid, now->gid[2])))
		gain |= GAIN_GID;
	return gain;
}

static __always_inline bool same_creds(const struct creds *a, const struct creds *b)
{
	return a->caps == b->caps && a->uid[0] == b->uid[0] && a->uid[1] == b->uid[1] && a->uid[2] == b->uid[2] &&
	       a->gid[0] == b->gid[0] && a->gid[1] == b->gid[1] && a->gid[2] == b->gid[2];
}

/* Lowers base to now, which is no gain over it. */
static __always_inline void lower(struct creds *base, const struct creds *now)
{
	if (now->user_ns == base->user_ns)
		base->caps &= now->caps;
	for (int i = 0; i < 3; i++) {
		base->uid[i] = now->uid[i];
		base->gid[i] = now->gid[i];
	}
}

/* Is task the process 1 of a pid namespace other than the machine's? */
static __always_inline bool first_of_namespace(struct task_struct *task)
{
	struct pid *pid = task->group_leader->thread_pid;
	__u32 level = pid->level;
	int nr = 0;

	if (!level || level > 32)
		return false;
	bpf_core_read(&nr, sizeof(nr), &pid->numbers[level].nr);
	return nr == 1;
}

/* Whose gain it is; r is 0 where there was no room for a record. */
struct subject {
	struct task_struct *task;
	const struct proc *r;
	__u32 slot;
	__u32 pod;
};

static __always_inline void report_gain(const struct subject *s, const struct creds *base, const struct creds *now,
					__u32 gain, __u32 action, __u32 rule, __u32 at_exec)
{
	struct escalation_event *e = bpf_ringbuf_reserve(&enforce_ring, sizeof(*e), 0);

	if (!e) {
		count(&lost, LOST_ENFORCE);
		return;
	}
	e->time = bpf_ktime_get_boot_ns();
	e->exec_id = s->r ? s->r->exec_id : 0;
	e->parent_exec_id = s->r ? s->r->parent_exec_id : 0;
	e->from = *base;
	e->to = *now;
	e->pid = s->task->tgid;
	e->slot = s->slot;
	e->pod = s->pod;
	e->action = action;
	e->rule = rule;
	e->gain = gain;
	e->at_exec = at_exec;
	e->init = first_of_namespace(s->task);
	if (s->r)
		__builtin_memcpy(e->path, s->r->path.path, PATH_LEN);
	else
		__builtin_memset(e->path, 0, PATH_LEN);
	bpf_ringbuf_submit(e, 0);
}

/*
 * Acts on a gain as the pod's rules say: kills current, reports, or nothing. True
 * if that is done with; a signal that could not be sent is tried again.
 */
static __always_inline bool act_on_gain(const struct subject *s, const struct creds *base, const struct creds *now,
					__u32 gain, __u32 at_exec)
{
	__u32 slot = s->slot, id, action, rule;
	struct assignment *assigned = bpf_map_lookup_elem(&rules, &slot);
	struct ruleset *rs;
	bool done = true;

	if (!assigned || assigned->pod != s->pod)
		return false;
	id = assigned->ruleset;
	rs = bpf_map_lookup_elem(&rulesets, &id);
	action = rs ? rs->privileges : ACTION_IGNORE;
	rule = rs ? rs->privileges_rule : 0;
	if (action == ACTION_KILL && !enforcing())
		action = ACTION_AUDIT;
	if (action == ACTION_KILL && bpf_send_signal(SIGKILL)) {
		action = ACTION_OBSERVE;
		done = false;
	}
	report_gain(s, base, now, gain, action, rule, at_exec);
	return done;
}

#endif
