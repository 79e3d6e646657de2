/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: connection state, verdict and accounting in one entry per flow
 * and judging pod. Entries end by their own timer, so there is no sweep; a pod
 * has quotas, so it can fill its own share only.
 *
 * An entry's verdict is never changed in place but by replacing the entry: a
 * program that still holds the old value can then spoil a counter at worst.
 */
#ifndef SLUICE_FLOW_H
#define SLUICE_FLOW_H

#include "frame.h"
#include "judge.h"

#define SECOND 1000000000ULL
#define CLOCK_MONOTONIC 1
#define TIMER_MAX (60 * SECOND) /* so that flows of a deleted pod go soon */

enum ttl {
	TTL_TCP_HALF,
	TTL_TCP_OPEN,
	TTL_TCP_CLOSING,
	TTL_UDP_HALF,
	TTL_UDP_OPEN,
	TTL_OTHER,
	TTL_DENIED,
	TTLS,
};

/* Set at load from state.Config. */
const volatile __u32 quota[3] = { 4096, 32768, 4096 }; /* half, open, denied; per pod */
const volatile __u64 ttls[TTLS] = {
	60 * SECOND, 21600 * SECOND, 10 * SECOND, 30 * SECOND, 120 * SECOND, 60 * SECOND, 30 * SECOND,
};

static __always_inline __u32 quota_of(__u8 state)
{
	return state == FLOW_HALF ? 0 : state == FLOW_DENIED ? 2 : 1;
}

static __always_inline __u64 ttl_of(__u8 protocol, __u8 state)
{
	if (state == FLOW_DENIED)
		return ttls[TTL_DENIED];
	if (protocol == IPPROTO_TCP)
		return ttls[state == FLOW_HALF ? TTL_TCP_HALF : state == FLOW_OPEN ? TTL_TCP_OPEN : TTL_TCP_CLOSING];
	if (protocol == IPPROTO_UDP)
		return ttls[state == FLOW_HALF ? TTL_UDP_HALF : TTL_UDP_OPEN];
	return ttls[TTL_OTHER];
}

/* Takes a place in a pod's quota; false: full. */
static __always_inline bool take(__u32 slot, __u32 pod, __u32 q)
{
	struct count *c = bpf_map_lookup_elem(&counts, &slot);

	if (!c || q > 2)
		return false;
	if (c->pod != pod && __sync_lock_test_and_set(&c->pod, pod) != pod) {
		c->flows[0] = 0;
		c->flows[1] = 0;
		c->flows[2] = 0;
	}
	if (c->flows[q] >= quota[q]) {
		count(&full, FULL_FLOW_QUOTA);
		return false;
	}
	__sync_fetch_and_add(&c->flows[q], 1);
	return true;
}

static __always_inline void give(__u32 slot, __u32 pod, __u32 q)
{
	struct count *c = bpf_map_lookup_elem(&counts, &slot);

	if (c && q <= 2 && c->pod == pod)
		__sync_fetch_and_add(&c->flows[q], -1);
}

static __always_inline void emit_flow(const struct flow_key *k, const struct flow *f, __u8 phase)
{
	struct flow_event *e = bpf_ringbuf_reserve(&flow_ring, sizeof(*e), 0);

	if (!e) {
		count(&lost, LOST_FLOW);
		return;
	}
	e->key = *k;
	e->pod = f->judged.pod;
	e->time = bpf_ktime_get_boot_ns();
	e->start = f->start;
	e->packets[0] = f->packets[0];
	e->packets[1] = f->packets[1];
	e->bytes[0] = f->bytes[0];
	e->bytes[1] = f->bytes[1];
	e->process = f->process;
	e->rule = f->rule;
	e->slot = f->slot;
	e->direction = f->direction;
	e->verdict = f->verdict;
	e->reason = f->reason;
	e->phase = phase;
	__builtin_memset(e->_pad, 0, sizeof(e->_pad));
	submit(&flow_ring, e);
}

/* The timer of one flow: ends it when it was idle for its ttl, or its pod is gone. */
static int expire(void *map, struct flow_key *k, struct flow *f)
{
	__u64 idle = bpf_ktime_get_coarse_ns() - f->seen;
	__u32 slot = f->slot, pod = f->judged.pod;
	__u32 q = quota_of(f->state);
	struct pod *p = bpf_map_lookup_elem(&pods, &slot);

	if ((__s64)idle < (__s64)f->ttl && p && p->id == pod) {
		__u64 left = f->ttl - idle;
		bpf_timer_start(&f->timer, left < TIMER_MAX ? left : TIMER_MAX, 0);
		return 0;
	}
	if (f->verdict != VERDICT_DENIED)
		emit_flow(k, f, PHASE_CLOSED);
	if (!bpf_map_delete_elem(map, k))
		give(slot, pod, q);
	return 0;
}

/* Enters f under k in place of what is there; false: table or quota full. */
static __always_inline bool put_flow(const struct flow_key *k, struct flow *f)
{
	__u32 q = quota_of(f->state);
	struct flow *was = bpf_map_lookup_elem(&flows, k);
	__u32 was_slot = 0, was_pod = 0, was_q = 0;

	if (was) {
		was_slot = was->slot;
		was_pod = was->judged.pod;
		was_q = quota_of(was->state);
	}
	if (!take(f->slot, f->judged.pod, q))
		return false;
	if (bpf_map_update_elem(&flows, k, f, BPF_ANY)) {
		count(&full, FULL_FLOWS);
		give(f->slot, f->judged.pod, q);
		return false;
	}
	if (was)
		give(was_slot, was_pod, was_q);
	f = bpf_map_lookup_elem(&flows, k);
	if (!f)
		return false;
	bpf_timer_init(&f->timer, &flows, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&f->timer, expire);
	bpf_timer_start(&f->timer, f->ttl < TIMER_MAX ? f->ttl : TIMER_MAX, 0);
	return true;
}

/* Moves f to another state; false: the quota of that state is full. */
static __always_inline bool move_flow(struct flow *f, __u8 protocol, __u8 state)
{
	__u32 from = quota_of(f->state), to = quota_of(state);
	__u64 ttl;

	if (from != to) {
		if (!take(f->slot, f->judged.pod, to))
			return false;
		give(f->slot, f->judged.pod, from);
	}
	f->state = state;
	ttl = ttl_of(protocol, state);
	if (ttl < f->ttl)
		bpf_timer_start(&f->timer, ttl, 0);
	f->ttl = ttl;
	return true;
}

static __always_inline void account(struct flow *f, __u64 now, __u32 len, __u8 direction)
{
	__sync_fetch_and_add(&f->packets[direction], 1);
	__sync_fetch_and_add(&f->bytes[direction], len);
	f->seen = now;
}

static __always_inline void total(__u8 verdict, __u8 direction, __u8 reason)
{
	count(&totals, (verdict * 2 + (direction & 1)) * REASONS + reason);
}

#endif
