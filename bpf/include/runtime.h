/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Acts of processes under the pod's rules: who a process is to them, what they say of
 * an act, and how it is told. compile.Image describes the tables; policy/eval is the
 * oracle. A process that is not known is allowed only what everyone is.
 */
#ifndef SLUICE_RUNTIME_H
#define SLUICE_RUNTIME_H

#include "gain.h"
#include "judge.h"

#define SELECTORS 4
#define PROGRAM_OF_IMAGE 2 /* compile.ProgramOfImage: any program of the container's image */
#define EVENT_EVERY (SECOND / 100) /* of a pod and rule, in the long run */
#define EVENT_BURST (2 * SECOND) /* so far ahead: 200 events at once */

/* The programs that a process is to the rules: its path, what patterns say of the folder
   it lies in, and any of the image; 0: none. */
struct identity {
	__u32 id[SELECTORS];
};

/* What is done about an act, and by which rule. */
struct ruling {
	__u32 action;
	__u32 rule;
};

static __always_inline void identify(struct identity *who, const struct proc *r)
{
	struct folder *f;

	__builtin_memset(who, 0, sizeof(*who));
	if (!r || !(r->flags & PROC_IMAGE))
		return;
	who->id[0] = program_of(&r->program, known_path(r));
	who->id[3] = r->flags & PROC_ROOT ? PROGRAM_OF_IMAGE : 0;
	f = folder_of(r);
	if (!f)
		return;
	who->id[1] = f->len == r->folder ? f->files : 0;
	who->id[2] = f->below;
}

/* The rules of a pod that say something of acts; 0: none. */
static __always_inline struct ruleset *rules_of(__u32 slot, __u32 pod)
{
	struct assignment *a = bpf_map_lookup_elem(&rules, &slot);
	__u32 id;

	if (!a || a->pod != pod || a->ruleset == RULESET_OPEN)
		return 0;
	id = a->ruleset;
	return bpf_map_lookup_elem(&rulesets, &id);
}

static __always_inline bool restricted(const struct runtime_head heads[2])
{
	return heads[ENFORCED].action != ACTION_IGNORE || heads[AUDITED].action != ACTION_IGNORE;
}

/*
 * Does a list allow an act to a process, after its parent? Each is asked for as all
 * that it is, and as anyone. Global, see parse_ip in frame.h.
 */
__noinline int permitted(const struct runtime_head *h, __u32 what, const struct identity *who,
			 const struct identity *parent)
{
	struct permit k = { .what = what };

	if (!h || !who || !parent || !h->list)
		return 0;
	k.list = h->list;
#pragma unroll /* the verifier loses count of a loop over a key on the stack */
	for (__u32 w = 0; w <= SELECTORS; w++) {
		k.program = w < SELECTORS ? who->id[w] : 0;
		if (w < SELECTORS && !k.program)
			continue;
		k.parent = 0;
		if (bpf_map_lookup_elem(&permits, &k))
			return 1;
#pragma unroll
		for (__u32 p = 0; p < SELECTORS; p++) {
			k.parent = h->parents ? parent->id[p] : 0;
			if (k.parent && bpf_map_lookup_elem(&permits, &k))
				return 1;
		}
	}
	return 0;
}

/*
 * What the rules say of an act. The second judgement is that of the policies that only
 * audit: it is told if the first lets the act pass.
 */
static __always_inline void rule_on(struct ruling *out, const struct runtime_head heads[2], __u32 what,
				    const struct identity *who, const struct identity *parent)
{
	const struct runtime_head *h = &heads[ENFORCED];

	out->action = ACTION_IGNORE;
	out->rule = 0;
	if (h->action != ACTION_IGNORE && !permitted(h, what, who, parent)) {
		out->action = h->action;
		out->rule = h->rule;
	}
	h = &heads[AUDITED];
	if (out->action == ACTION_IGNORE && h->action != ACTION_IGNORE && !permitted(h, what, who, parent)) {
		out->action = ACTION_AUDIT;
		out->rule = h->rule;
	}
	if (out->action >= ACTION_DENY && !enforcing())
		out->action = ACTION_AUDIT;
}

/*
 * What the rules say of an operation on a file, which is to them what programs are: a
 * path, and the folders around it. As rule_on; global, see parse_ip in frame.h.
 */
__noinline int rule_file(struct ruling *out, const struct ruleset *rs, __u32 operation, const struct identity *file,
			 const struct identity *who)
{
	struct identity nobody = {};

	if (!out || !rs || !file || !who)
		return 0;
	out->action = ACTION_IGNORE;
	out->rule = 0;
	for (__u32 j = ENFORCED; j <= AUDITED; j++) {
		struct file_key k = { .list = rs->files[j], .operation = operation };
		struct runtime_head *h = 0;

		for (__u32 i = 0; i < SELECTORS && k.list && !h; i++) {
			k.file = file->id[i];
			h = k.file ? bpf_map_lookup_elem(&file_rules, &k) : 0;
		}
		if (!h || permitted(h, 0, who, &nobody))
			continue;
		out->action = j == ENFORCED ? h->action : ACTION_AUDIT;
		out->rule = h->rule;
		break;
	}
	if (out->action >= ACTION_DENY && !enforcing())
		out->action = ACTION_AUDIT;
	return 0;
}

/* May one more event of this bucket be told? Who loses a race for it may not. */
static __always_inline bool spend(const struct bucket_key *k, __u64 now)
{
	__u64 *until = bpf_map_lookup_elem(&buckets, k), next = now + EVENT_EVERY, was;

	if (!until)
		return !bpf_map_update_elem(&buckets, k, &next, BPF_NOEXIST);
	was = *until;
	if (was > now + EVENT_BURST)
		return false;
	next = (was > now ? was : now) + EVENT_EVERY;
	return __sync_val_compare_and_swap(until, was, next) == was;
}

/* Counts an act, and says whether it is to be told, as it may be if it is news. */
static __always_inline bool tally_up(__u32 pod, const struct ruling *by, __u32 kind, __u64 now, bool news)
{
	struct tally_key k = { .pod = pod, .rule = by->rule, .kind = kind, .outcome = by->action };
	struct bucket_key bucket = { .pod = pod, .rule = by->rule, .kind = kind };
	struct tally first = {}, *t = bpf_map_lookup_elem(&tallies, &k);
	bool told = news && spend(&bucket, now);

	if (!t) {
		bpf_map_update_elem(&tallies, &k, &first, BPF_NOEXIST);
		t = bpf_map_lookup_elem(&tallies, &k);
	}
	if (!t) {
		count(&full, FULL_TALLIES);
		return told;
	}
	__sync_fetch_and_add(&t->acts, 1);
	__sync_fetch_and_add(&t->held, !told);
	return told;
}

/* Whose act it is; r is 0 where there is no record. */
struct actor {
	struct task_struct *task;
	const struct proc *r;
	__u32 slot;
	__u32 pod;
};

/* An event for an act that is ruled on, its object still to be named; 0: it is not told. */
static __always_inline struct act_event *begin_act(const struct actor *a, const struct ruling *by, __u32 kind,
						   __u32 what, __u32 flags, bool news)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct act_event *e;

	if (!tally_up(a->pod, by, kind, now, news))
		return 0;
	e = bpf_ringbuf_reserve(&enforce_ring, sizeof(*e), 0);
	if (!e) {
		count(&lost, LOST_ENFORCE);
		return 0;
	}
	e->time = now;
	e->exec_id = a->r ? a->r->exec_id : 0;
	e->parent_exec_id = a->r ? a->r->parent_exec_id : 0;
	e->kind = kind;
	e->outcome = by->action;
	e->rule = by->rule;
	e->pid = a->task->tgid;
	e->uid = cast(a->task->cred, struct cred)->euid.val;
	e->slot = a->slot;
	e->pod = a->pod;
	e->what = what;
	e->flags = flags | (first_of_namespace(a->task) ? ACT_INIT : 0);
	e->_pad = 0;
	if (a->r)
		__builtin_memcpy(e->path, a->r->path.path, PATH_LEN);
	else
		__builtin_memset(e->path, 0, PATH_LEN);
	return e;
}

/* Tells of an act that is ruled on; object is the program that an exec is of. */
static __always_inline void report_act(const struct actor *a, const struct ruling *by, __u32 kind, __u32 what,
				       __u32 flags, const struct path_key *object)
{
	struct act_event *e = begin_act(a, by, kind, what, flags, true);

	if (!e)
		return;
	if (object)
		__builtin_memcpy(e->object, object->path, PATH_LEN);
	else
		__builtin_memset(e->object, 0, PATH_LEN);
	bpf_ringbuf_submit(e, 0);
}

#endif
