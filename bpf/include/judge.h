/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verdict of a pod's rules on one flow. The Go twin of these lookups is the
 * comment of compile.Image; policy/eval is the oracle of both.
 */
#ifndef SLUICE_JUDGE_H
#define SLUICE_JUDGE_H

#include "maps.h"

#define ALL_LAYERS ((1 << LAYERS) - 1)
#define SOCKET_LAYERS ((1 << LAYER_ADMIN) | (1 << LAYER_WORKLOAD)) /* what gives an errno */
#define PORT_BITS 16

struct question {
	struct addr peer;
	struct assignment rules;
	__u64 since; /* CLOCK_BOOTTIME, ns: when the connection began; 0: now */
	__u64 exec_id; /* of the process, which patterns are asked for */
	__u32 pid;
	__u32 program;
	__u32 layers; /* bit set */
	__u16 port; /* the destination's, host order */
	__u8 protocol;
	__u8 direction;
};

struct answer {
	__u32 rule;
	__u32 class;
	__u8 verdict;
	__u8 reason;
	__u8 layer; /* that isolates, for REASON_DEFAULT_DENY */
	__u8 errno_response;
	__u8 by_process; /* the program was asked for */
	__u8 _pad[3];
};

static __always_inline __u32 class_of(const struct addr *a)
{
	__u32 *class = bpf_map_lookup_elem(&peers, a);
	if (class)
		return *class;
	struct prefix p = { .len = 128, .addr = *a };
	class = bpf_map_lookup_elem(&prefixes, &p);
	return class ? *class : 0;
}

/* Finds the class that the peer had when the connection began, if it is not its own any more. */
static __always_inline bool former_class(const struct question *q, __u32 *class)
{
	struct former_key k = { .addr = q->peer };
	struct former *f;

	if (!q->since)
		return false;
#pragma clang loop unroll(full) /* kernels up to 6.18 lose count of what stands in a key */
	for (__u32 n = 0; n < FORMERS_EACH; n++) {
		k.n = n;
		f = bpf_map_lookup_elem(&formers, &k);
		if (!f)
			return false;
		if (q->since >= f->from && q->since < f->until) {
			*class = f->class;
			return true;
		}
	}
	return false;
}

/* The program id of a file, 0 if no rule names it. */
static __always_inline __u32 program_of(const struct program *p, __u32 known)
{
	__u64 container = p->container;
	if (!container)
		return 0;
	__u32 *id = bpf_map_lookup_elem(&programs, p);
	if (id)
		return *id;
	return bpf_map_lookup_elem(&resolved, &container) ? 0 : known;
}

/* What patterns say of the folder that a process's program lies in; 0: nothing. */
static __always_inline struct folder *folder_of(const struct proc *r)
{
	if (!(r->flags & PROC_IMAGE) || r->flags & PROC_CUT)
		return 0;
	return bpf_map_lookup_elem(&folders, &r->folder); /* folder and path are a folder_key */
}

/* The process behind a flow, as its socket was stamped. */
static __always_inline void set_process(struct question *q, const struct stamp *s)
{
	q->program = program_of(&s->program, s->known);
	q->exec_id = s->exec_id;
	q->pid = s->pid;
}

/* The rule by which a process set allows the process, 0 for none: by its path, then by
   the patterns around. An entry names the first of the rules that its program is under. */
static __always_inline __u32 rule_for_process(const struct question *q, const struct grant *g)
{
	struct process_key k = { .set = g->processes, .program = q->program };
	__u32 *rule = q->program ? bpf_map_lookup_elem(&processes, &k) : 0, pid = q->pid;
	struct folder *f;
	struct proc *r;

	if (rule)
		return *rule;
	r = g->patterns ? bpf_map_lookup_elem(&procs, &pid) : 0;
	if (!r || r->exec_id != q->exec_id)
		return 0;
	f = folder_of(r);
	if (!f)
		return 0;
	k.program = f->len == r->folder ? f->files : 0;
	rule = k.program ? bpf_map_lookup_elem(&processes, &k) : 0;
	if (rule)
		return *rule;
	k.program = f->below;
	rule = k.program ? bpf_map_lookup_elem(&processes, &k) : 0;
	return rule ? *rule : 0;
}

#define FILTER_BITS 14 /* of lengths, above PORT_BITS */
#define NO_ANY (1U << 31) /* of lengths: the set has no entry of every protocol */

/* Does the set's filter rule out that it has this very port? Most denials end here. */
static __always_inline bool filtered(__u32 lengths, __u8 protocol, __u16 port)
{
	__u32 filter = lengths >> (PORT_BITS + 1) & ((1 << FILTER_BITS) - 1);

	return filter && !(filter >> ((port * 31U + protocol) % FILTER_BITS) & 1);
}

static __noinline struct grant *grant_of(const struct port_set *set, __u8 protocol, __u16 port)
{
	struct port_key k = { .set = set->id, .protocol = protocol };
	struct grant *g;

	for (int bits = PORT_BITS; bits >= 0; bits--) {
		if (!(set->lengths & 1 << bits) || (bits == PORT_BITS && filtered(set->lengths, protocol, port)))
			continue;
		k.bits = bits;
		k.port = port & (0xffff << (PORT_BITS - bits));
		g = bpf_map_lookup_elem(&ports, &k);
		if (g)
			return g;
	}
	if (set->lengths & NO_ANY)
		return 0;
	k.protocol = 0;
	k.bits = 0;
	k.port = 0;
	return bpf_map_lookup_elem(&ports, &k);
}

/* What a layer says of q; 0: nothing. */
static __always_inline struct grant *ask_layer(const struct question *q, const struct ruleset *rs, __u8 layer,
					       struct answer *a)
{
	__u32 at = (q->direction & 1) * LAYERS + layer;
	struct edge e = { .list = rs->lists[at], .class = a->class };
	const struct port_set *set = bpf_map_lookup_elem(&edges, &e);

	if (!set)
		set = &rs->any_peer[at];
	return set->id ? grant_of(set, q->protocol, q->port) : 0;
}

/* The rule of an isolating layer that allows, 0 if none does. */
static __always_inline __u32 rule_of(const struct question *q, const struct grant *g, struct answer *a)
{
	__u32 rule = 0;

	if (!g)
		return 0;
	if (g->processes) {
		a->by_process = 1;
		rule = rule_for_process(q, g);
	}
	return rule ?: g->rule;
}

static __always_inline bool active(const struct question *q, const struct ruleset *rs, __u8 layer)
{
	return q->layers & 1 << layer && rs->active[(q->direction & 1) * LAYERS + layer];
}

enum { UNDECIDED = -1 };

/* Asks a layer whose first matching rule decides: 1 accepted, 0 denied, or UNDECIDED. */
static __always_inline int ask_ordered(const struct question *q, const struct ruleset *rs, __u8 layer, struct answer *a)
{
	struct grant *g = active(q, rs, layer) ? ask_layer(q, rs, layer, a) : 0;

	if (!g || g->outcome == OUTCOME_PASS)
		return UNDECIDED;
	a->reason = REASON_POLICY;
	a->rule = g->rule;
	return g->outcome == OUTCOME_ACCEPT;
}

/* Asks a layer that isolates, if it does: 1 allowed, 0 denied, or UNDECIDED. */
static __always_inline int ask_isolating(const struct question *q, const struct ruleset *rs, __u8 layer,
					 struct answer *a)
{
	__u32 rule;

	if (!active(q, rs, layer))
		return UNDECIDED;
	rule = rule_of(q, ask_layer(q, rs, layer, a), a);
	if (!rule) {
		a->reason = REASON_DEFAULT_DENY;
		a->rule = 0;
		a->layer = layer;
		return 0;
	}
	if (a->reason != REASON_POLICY) /* the workload policy's is named, if there is one */
		a->rule = rule;
	a->reason = REASON_POLICY;
	return 1;
}

/* 1 if a rule set allows the question; sets reason and rule. */
static __always_inline int ask(const struct question *q, const struct ruleset *rs, struct answer *a)
{
	int workload, network, decided;

	a->reason = REASON_NO_POLICY;
	a->rule = 0;
	decided = ask_ordered(q, rs, LAYER_ADMIN, a);
	if (decided != UNDECIDED)
		return decided;
	workload = ask_isolating(q, rs, LAYER_WORKLOAD, a);
	if (!workload) {
		a->errno_response = rs->errno_response[q->direction & 1];
		return 0;
	}
	network = ask_isolating(q, rs, LAYER_NETWORK, a);
	if (!network)
		return 0;
	if (workload == UNDECIDED && network == UNDECIDED)
		return ask_ordered(q, rs, LAYER_BASELINE, a) != 0;
	return 1;
}

/* Judges q; a rule set that is not there is closed. Global, see parse_ip in frame.h. */
__noinline int judge(const struct question *q, struct answer *a)
{
	struct answer second = {};
	struct ruleset *rs;
	__u32 id;

	if (!q || !a)
		return 0;
	id = q->rules.ruleset;
	a->class = 0;
	if (id == RULESET_OPEN) {
		a->verdict = VERDICT_ALLOWED;
		a->reason = REASON_NO_POLICY;
		return 1;
	}
	a->verdict = VERDICT_DENIED;
	a->reason = REASON_CLOSED;
	rs = bpf_map_lookup_elem(&rulesets, &id);
	if (!rs)
		return 0;
	a->class = class_of(&q->peer);
	for (bool again = false; !ask(q, rs, a); again = true) {
		if (again || !former_class(q, &a->class))
			return 0;
	}
	a->verdict = VERDICT_ALLOWED;
	id = rs->audit;
	if (!id)
		return 1;
	rs = bpf_map_lookup_elem(&rulesets, &id);
	second.class = a->class;
	if (rs && !ask(q, rs, &second)) {
		a->verdict = VERDICT_AUDIT_DENIED;
		a->reason = second.reason;
		a->rule = 0;
	}
	a->by_process |= second.by_process;
	return 1;
}

#endif
