/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A frame that the table has no verdict for, or one of former rules: judged, entered
 * and told of.
 */
#ifndef SLUICE_VERDICT_H
#define SLUICE_VERDICT_H

#include "known.h"

static __always_inline void begin(const struct visit *v, struct flow *flow)
{
	flow->judged = v->rules;
	flow->mac = v->own_mac;
	flow->slot = v->slot;
	flow->direction = v->direction;
	flow->start = bpf_ktime_get_boot_ns();
	flow->state = FLOW_HALF;
}

/*
 * Enters a judged flow, reports it, and gives the frame's verdict. A denial that is
 * not entered is counted as a drop and no more: there may be one for each frame.
 */
static __always_inline int conclude(struct __sk_buff *skb, const struct visit *v, struct flow *flow, bool keep)
{
	bool denied = flow->verdict == VERDICT_DENIED, kept;

	flow->state = denied ? FLOW_DENIED : flow->state;
	flow->ttl = ttl_of(v->key.protocol, flow->state);
	if (flow->reason == REASON_RECHECK && v->key.protocol == IPPROTO_TCP)
		flow->ttl = ttls[TTL_TCP_OPEN]; /* as long as its ends may try again */
	flow->seen = v->now;
	flow->packets[v->direction & 1] += 1;
	flow->bytes[v->direction & 1] += v->len;
	kept = keep && put_flow(&v->key, flow, v->absent);
	if (denied && !kept)
		return drop(flow->reason);
	if (!kept) {
		if (flow->reason == REASON_NO_POLICY || flow->reason == REASON_EXEMPT) {
			count(&oddities, ODD_UNTRACKED);
			return pass(skb, v->direction, v->slot, flow->flags);
		}
		return drop(REASON_TABLE_FULL);
	}
	if (flow->flags & FLOW_DEFERRED) /* counted and told where it is judged */
		return pass(skb, v->direction, v->slot, flow->flags);
	total(flow->verdict, flow->direction, flow->reason);
	emit_flow(&v->key, flow, denied ? PHASE_DENIED : PHASE_NEW);
	return denied ? drop(flow->reason) : pass(skb, v->direction, v->slot, flow->flags);
}

/* Was the flow marked because an end of it is another's now? No setting keeps such a one. */
static __always_inline bool changed_hands(const struct flow *was)
{
	return was->judged.ruleset == RULESET_STALE || was->judged.ruleset == RULESET_MOVED;
}

/* A flow that the table knows, under rules that have changed since. */
static __always_inline int recheck(struct __sk_buff *skb, const struct visit *v, const struct flow *was,
				   struct flow *flow)
{
	bool by_process;
	__u8 flags;

	if (v->direction == INGRESS && was->judged.ruleset == RULESET_STALE)
		return TCX_NEXT; /* another program has the socket: the pod's next frame tells */
	*flow = *was;
	flow->judged = v->rules;
	if (v->direction == EGRESS)
		flow->behind.known = 0; /* the later point judges anew */
	if (changed_hands(was))
		flow->behind.verdict = VERDICT_DENIED; /* and keeps nothing */
	if ((was->reason == REASON_EXEMPT && was->direction == INGRESS) ||
	    (keeps() && was->state == FLOW_OPEN && !changed_hands(was))) {
		put_flow(&v->key, flow, false);
		return pass(skb, v->direction, v->slot, flow->flags);
	}
	if (v->direction == EGRESS && !read_stamp(skb, &flow->process) && flow->direction == EGRESS)
		__builtin_memset(&flow->process, 0, sizeof(flow->process)); /* who sends now, not who began */
	if (v->direction == EGRESS && !own(v) && !tolerated(v)) {
		flow->verdict = VERDICT_DENIED;
		flow->reason = REASON_SPOOFED;
		return conclude(skb, v, flow, true);
	}
	by_process = decide(skb, v, flow);
	if (flow->verdict == VERDICT_DENIED) {
		flow->reason = REASON_RECHECK;
		flow->rule = 0;
		return conclude(skb, v, flow, true);
	}
	if (v->direction != EGRESS) {
		if (by_process && !was->cookie)
			return TCX_NEXT; /* the pod's next frame tells the socket */
		flow->cookie = was->cookie;
	}
	flow->seen = v->now;
	flow->packets[v->direction & 1] += 1;
	flow->bytes[v->direction & 1] += v->len;
	put_flow(&v->key, flow, false);
	flags = flow->flags;
	flow = bpf_map_lookup_elem(&flows, &v->key);
	if (flow)
		follow(flow, &v->frame, v->direction);
	return pass(skb, v->direction, v->slot, flags);
}

/* Is a new flow denied whatever the rules say of it? There is no place for it. */
static __always_inline bool crowded_out(struct __sk_buff *skb, const struct visit *v)
{
	return v->absent && is_full(v->now) && needs_allow(v->rules, v->direction) &&
	       !(v->direction == INGRESS && made_here(skb, &v->frame));
}

static __always_inline int judge_frame(struct __sk_buff *skb, struct visit *v)
{
	struct flow *was = v->absent ? 0 : bpf_map_lookup_elem(&flows, &v->key);
	__u32 zero = 0;
	struct flow *flow = bpf_map_lookup_elem(&drafts, &zero);
	bool keep = true;

	if (!flow)
		return drop(REASON_TABLE_FULL);
	__builtin_memset(flow, 0, sizeof(*flow));
	if (was && (expired(was, v->now) || was->judged.pod != v->rules.pod))
		was = 0;
	if (was && was->verdict != VERDICT_DENIED && anew(was, &v->frame, v->direction)) {
		keep = was->state == FLOW_CLOSING; /* if it is denied, what stands goes on */
	} else if (was && was->verdict != VERDICT_DENIED) {
		if (was->judged.ruleset != v->rules.ruleset)
			return recheck(skb, v, was, flow);
		/* Another socket speaks under this flow's name; the later point is told. */
		keep = was->flags & FLOW_DEFERRED;
	}
	begin(v, flow);
	if (!inborn(v, &v->key.pod)) {
		if (!own(v) && !tolerated(v)) {
			flow->verdict = VERDICT_DENIED;
			flow->reason = REASON_SPOOFED;
			return conclude(skb, v, flow, keep && v->direction == EGRESS);
		}
		if (v->direction == EGRESS && !is_nascent(v))
			flow->flags |= FLOW_FOREIGN;
	}
	if (crowded_out(skb, v)) {
		count(&full, FULL_FLOWS);
		return drop(REASON_TABLE_FULL);
	}
	if (v->direction == EGRESS && read_stamp(skb, &flow->process))
		flow->flags |= FLOW_NAMED;
	if (v->direction == INGRESS && made_here(skb, &v->frame)) {
		flow->verdict = VERDICT_ALLOWED; /* made on this node, outside pods: probes */
		flow->reason = REASON_EXEMPT;
	} else {
		decide(skb, v, flow);
	}
	if (was && was->verdict == VERDICT_DENIED && was->reason == REASON_RECHECK && !opens(&v->frame)) {
		if (flow->verdict != VERDICT_DENIED && was->direction != v->direction)
			return drop(REASON_RECHECK);
		if (flow->verdict == VERDICT_DENIED && was->direction == v->direction)
			flow->reason = REASON_RECHECK; /* cut before, and not for the last rules alone */
	}
	return conclude(skb, v, flow, keep || flow->verdict != VERDICT_DENIED);
}

#endif
