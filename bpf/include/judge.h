/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verdict of a pod's rules on one flow. The Go twin of these lookups is the
 * comment of compile.Image; policy/eval is the oracle of both.
 */
#ifndef SLUICE_JUDGE_H
#define SLUICE_JUDGE_H

#include "maps.h"

#define BOTH_LAYERS ((1 << LAYER_NETWORK) | (1 << LAYER_WORKLOAD))

struct question {
	struct addr peer;
	struct assignment rules;
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
	__u8 errno_response;
	__u8 by_process; /* the program was asked for */
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

static __always_inline struct grant *grant_of(__u32 set, __u8 protocol, __u16 port)
{
	struct port_key k = { .set = set, .protocol = protocol, .port = port };
	struct grant *g = bpf_map_lookup_elem(&ports, &k);
	if (g || !port)
		goto any;
	k.port = 0;
	g = bpf_map_lookup_elem(&ports, &k);
any:
	if (g)
		return g;
	k.protocol = 0;
	k.port = 0;
	return bpf_map_lookup_elem(&ports, &k);
}

/* The rule of one layer that allows, 0 if none does. */
static __always_inline __u32 ask_layer(const struct question *q, const struct ruleset *rs, __u32 ruleset, __u8 layer,
				       struct answer *a)
{
	struct edge e = { .ruleset = ruleset, .class = a->class, .direction = q->direction, .layer = layer };
	__u32 *edge = bpf_map_lookup_elem(&edges, &e);
	__u32 set = edge ? *edge : rs->any_peer[(q->direction & 1) * LAYERS + layer];
	if (!set)
		return 0;
	struct grant *g = grant_of(set, q->protocol, q->port);
	if (!g)
		return 0;
	if (g->processes) {
		struct process_key k = { .set = g->processes, .program = q->program };
		__u32 *rule = q->program ? bpf_map_lookup_elem(&processes, &k) : 0;
		a->by_process = 1;
		if (rule)
			return *rule;
	}
	return g->rule;
}

/* 1 if rule set id allows the question; sets reason and rule. */
static __always_inline int ask(const struct question *q, const struct ruleset *rs, __u32 id, struct answer *a)
{
	__u32 rule;

	a->reason = REASON_NO_POLICY;
	a->rule = 0;
#pragma unroll
	for (__u8 layer = 0; layer < LAYERS; layer++) {
		if (!(q->layers & (1 << layer)) || !rs->isolated[(q->direction & 1) * LAYERS + layer])
			continue;
		rule = ask_layer(q, rs, id, layer, a);
		if (!rule) {
			a->reason = REASON_DEFAULT_DENY;
			a->rule = 0;
			a->errno_response = layer == LAYER_WORKLOAD && rs->errno_response[q->direction & 1];
			return 0;
		}
		a->reason = REASON_POLICY;
		a->rule = rule;
	}
	return 1;
}

/* Judges q; a rule set that is not there is closed. */
static __noinline int judge(const struct question *q, struct answer *a)
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
	if (!ask(q, rs, id, a))
		return 0;
	a->verdict = VERDICT_ALLOWED;
	id = rs->audit;
	if (!id)
		return 1;
	rs = bpf_map_lookup_elem(&rulesets, &id);
	second.class = a->class;
	if (rs && !ask(q, rs, id, &second)) {
		a->verdict = VERDICT_AUDIT_DENIED;
		a->reason = second.reason;
		a->rule = 0;
	}
	a->by_process |= second.by_process;
	return 1;
}

#endif
