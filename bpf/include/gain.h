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

/* Acts on a gain as the pod's rules say: kills current, reports, or nothing. */
static __always_inline __u32 act_on_gain(struct task_struct *task, const struct proc *r, const struct creds *base,
					 const struct creds *now, __u32 gain, __u32 at_exec)
{
	__u32 slot = r->slot, pod = r->pod, id, rule;
	struct assignment *rules_now = bpf_map_lookup_elem(&rules, &slot);
	struct escalation_event *e;
	struct ruleset *rs;
	__u32 action;

	if (!rules_now || rules_now->pod != pod)
		return ACTION_IGNORE;
	id = rules_now->ruleset;
	rs = bpf_map_lookup_elem(&rulesets, &id);
	action = rs ? rs->privileges : ACTION_IGNORE;
	rule = rs ? rs->privileges_rule : 0;
	if (action == ACTION_KILL)
		bpf_send_signal(SIGKILL);
	e = bpf_ringbuf_reserve(&enforce_ring, sizeof(*e), 0);
	if (!e) {
		count(&lost, LOST_ENFORCE);
		return action;
	}
	e->time = bpf_ktime_get_boot_ns();
	e->exec_id = r->exec_id;
	e->parent_exec_id = r->parent_exec_id;
	e->from = *base;
	e->to = *now;
	e->pid = r->pid;
	e->slot = slot;
	e->pod = pod;
	e->action = action;
	e->rule = rule;
	e->gain = gain;
	e->at_exec = at_exec;
	e->init = first_of_namespace(task);
	__builtin_memcpy(e->path, r->path.path, PATH_LEN);
	bpf_ringbuf_submit(e, 0);
	return action;
}

#endif
