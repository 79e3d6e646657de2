/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: connection state, verdict and accounting in one entry per flow
 * and judging pod. A pod has quotas, so it can fill its own share only.
 *
 * Flows end by one timer: it takes a bounded number of keys from the head of a
 * queue, ends the flows that were idle for their ttl, and puts the others back at
 * its end. Nothing is allocated: a timer for each flow would need memory that
 * kernels from 6.18 on refuse to a program in passing.
 *
 * An entry's verdict is never changed in place but by replacing the entry: a
 * program that still holds the old value can then spoil a counter at worst.
 */
#ifndef SLUICE_FLOW_H
#define SLUICE_FLOW_H

#include "frame.h"
#include "judge.h"

#define CLOCK_MONOTONIC 1
#define ENOENT 2
#define EBUSY 16
#define EEXIST 17
#define REAP_EVERY (SECOND / 10)
#define REAP_EACH 2048 /* flows; a full table is gone through in some seconds */

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

const volatile __u64 least_ttl = 10 * SECOND; /* of ttls */

/* A flow in the making, too large for the stack. The hooks run with bottom halves off. */
ARRAY(drafts, BPF_MAP_TYPE_PERCPU_ARRAY, struct flow, 1);

static __always_inline __u32 quota_of(__u8 state)
{
	return state == FLOW_HALF ? 0 : state == FLOW_DENIED ? 2 : 1;
}

static __always_inline bool expired(const struct flow *f, __u64 now)
{
	return (__s64)(now - f->seen) >= (__s64)f->ttl;
}

static __always_inline __u64 ttl_of(__u8 protocol, __u8 state)
{
	if (state == FLOW_DENIED)
		return ttls[TTL_DENIED];
	if (protocol == IPPROTO_TCP)
		return ttls[state == FLOW_HALF ? TTL_TCP_HALF : state == FLOW_OPEN ? TTL_TCP_OPEN : TTL_TCP_CLOSING];
	if (protocol == IPPROTO_UDP)
		return ttls[TTL_UDP_HALF]; /* a stream's is set by lengthen */
	return ttls[TTL_OTHER];
}

/* Takes a place in a pod's quota; false: full. */
static __always_inline bool take(__u32 slot, __u32 pod, __u32 q)
{
	struct count *c = bpf_map_lookup_elem(&counts, &slot);

	asm volatile("" : "+r"(q));
	if (!c || q > 2)
		return false;
	if (c->pod != pod && __sync_lock_test_and_set(&c->pod, pod) != pod) {
		c->flows[0] = 0;
		c->flows[1] = 0;
		c->flows[2] = 0;
	}
	if ((__s32)c->flows[q] >= (__s32)quota[q]) {
		count(&full, FULL_FLOW_QUOTA);
		return false;
	}
	__sync_fetch_and_add(&c->flows[q], 1);
	return true;
}

static __always_inline void give(__u32 slot, __u32 pod, __u32 q)
{
	struct count *c = bpf_map_lookup_elem(&counts, &slot);

	asm volatile("" : "+r"(q)); /* keep the bound below */
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
	e->behind = f->behind.addr;
	e->behind_port = f->behind.port;
	e->rule = f->rule;
	e->slot = f->slot;
	e->ruleset = f->judged.ruleset;
	e->direction = f->direction;
	e->verdict = f->verdict;
	e->reason = f->reason;
	e->layer = f->layer;
	e->phase = phase;
	if (f->verdict == VERDICT_DENIED && !enforcing())
		e->verdict = VERDICT_AUDIT_DENIED;
	__builtin_memset(e->_pad, 0, sizeof(e->_pad));
	submit(&flow_ring, e);
}

#define DUE(NS) ((__u32)((NS) >> 24))

/* Enters a flow in the queue. Whatever it may become, it stays for the least ttl. Not
   inline, for its stack. */
static __noinline long enqueue(const struct flow_key *k, __u64 now)
{
	struct aged a = { .key = *k, .due = DUE(now + least_ttl) };

	return bpf_map_push_elem(&aging, &a, 0);
}

struct harvest {
	__u64 now;
	__u32 round;
	__u8 _pad[4];
};

/*
 * Has the flow that waited longest; 1 when each had its turn. To look into the table is
 * what costs, so one that cannot be over is put back unseen while its door is there.
 */
static long reap_one(__u32 i, struct harvest *h)
{
	__u32 slot, pod, q, ifindex;
	struct aged a;
	struct flow *f;
	struct pod *p;
	__u64 end;
	bool again;

	if (bpf_map_pop_elem(&aging, &a))
		return 1;
	again = a.round == h->round;
	a.round = h->round;
	ifindex = a.key.ifindex;
	if ((__s32)(DUE(h->now) - a.due) < 0 && bpf_map_lookup_elem(&doors, &ifindex) &&
	    !bpf_map_push_elem(&aging, &a, 0))
		return again;
	f = bpf_map_lookup_elem(&flows, &a.key);
	if (!f)
		return 0;
	slot = f->slot;
	pod = f->judged.pod;
	q = quota_of(f->state);
	end = f->seen + f->ttl;
	a.due = DUE(end < h->now + least_ttl ? end : h->now + least_ttl);
	p = bpf_map_lookup_elem(&pods, &slot);
	if (p && p->id == pod && !expired(f, h->now) && !bpf_map_push_elem(&aging, &a, 0))
		return again;
	if (f->verdict != VERDICT_DENIED)
		emit_flow(&a.key, f, PHASE_CLOSED);
	if (!bpf_map_delete_elem(&flows, &a.key))
		give(slot, pod, q);
	return 0;
}

static int reap(void *map, __u32 *key, struct reaper *r)
{
	struct harvest h = { .now = bpf_ktime_get_coarse_ns(), .round = ++r->round };

	bpf_loop(REAP_EACH, reap_one, &h, 0);
	bpf_timer_start(&r->timer, REAP_EVERY, 0);
	return 0;
}

/* Sets the timer going, or gives it the callback of this program; 0 or an error. */
static __always_inline long start_reaper(void)
{
	__u32 zero = 0;
	struct reaper *r = bpf_map_lookup_elem(&reapers, &zero);
	long err;

	if (!r)
		return -ENOENT;
	err = bpf_timer_init(&r->timer, &reapers, CLOCK_MONOTONIC);
	if (err && err != -EBUSY) /* busy: it is going */
		return err;
	err = bpf_timer_set_callback(&r->timer, reap);
	return err ?: bpf_timer_start(&r->timer, REAP_EVERY, 0);
}

#define FULL_FOR (4 * 1000000ULL) /* a full table is not tried again for so long, ns */

/* When this CPU last found the table full; CLOCK_MONOTONIC_COARSE, ns. */
ARRAY(full_since, BPF_MAP_TYPE_PERCPU_ARRAY, __u64, 1);

/* Was the table full a moment ago? */
static __always_inline bool is_full(__u64 now)
{
	__u32 zero = 0;
	__u64 *since = bpf_map_lookup_elem(&full_since, &zero);

	return since && now - *since < FULL_FOR;
}

/* Enters what is new under k, which has its place in a quota; false: table full. */
static __always_inline bool add_flow(const struct flow_key *k, struct flow *f, __u32 q)
{
	__u32 zero = 0;
	__u64 *since;
	long err;

	if (is_full(f->seen))
		goto full;
	err = bpf_map_update_elem(&flows, k, f, BPF_NOEXIST);
	if (err == -EEXIST) { /* another CPU was first */
		give(f->slot, f->judged.pod, q);
		return true;
	}
	if (err) {
		since = bpf_map_lookup_elem(&full_since, &zero);
		if (since)
			*since = f->seen;
		goto full;
	}
	if (!enqueue(k, f->seen))
		return true;
	count(&full, FULL_AGING);
	if (!bpf_map_delete_elem(&flows, k))
		give(f->slot, f->judged.pod, q);
	return false;
full:
	count(&full, FULL_FLOWS);
	give(f->slot, f->judged.pod, q);
	return false;
}

/*
 * Enters f under k in place of what is there; false: table or quota full. absent says
 * that nothing was there a moment ago.
 */
static __always_inline bool put_flow(const struct flow_key *k, struct flow *f, bool absent)
{
	__u32 q = quota_of(f->state);
	struct flow *was = absent ? 0 : bpf_map_lookup_elem(&flows, k);
	__u32 was_slot = 0, was_pod = 0, was_q = 0;

	if (was) {
		was_slot = was->slot;
		was_pod = was->judged.pod;
		was_q = quota_of(was->state);
	}
	if (!take(f->slot, f->judged.pod, q))
		return false;
	/* What is there stands in the queue, unless it was ended this moment. */
	if (was && !bpf_map_update_elem(&flows, k, f, BPF_EXIST)) {
		give(was_slot, was_pod, was_q);
		return true;
	}
	return add_flow(k, f, q);
}

/* Moves f to another state; false: the quota of that state is full. */
static __always_inline bool move_flow(struct flow *f, __u8 protocol, __u8 state)
{
	__u32 was = f->state, from = quota_of(was), to = quota_of(state);

	if (from != to && !take(f->slot, f->judged.pod, to))
		return false;
	if (__sync_val_compare_and_swap(&f->state, was, (__u32)state) != was) {
		if (from != to)
			give(f->slot, f->judged.pod, to); /* another CPU was first */
		return true;
	}
	if (from != to)
		give(f->slot, f->judged.pod, from);
	f->ttl = ttl_of(protocol, state);
	return true;
}

/* Two datagrams each way make a stream; one is a question and its answer. */
static __always_inline void lengthen(struct flow *f, __u8 protocol)
{
	if (protocol == IPPROTO_UDP && f->state == FLOW_OPEN && f->packets[0] > 1 && f->packets[1] > 1)
		f->ttl = ttls[TTL_UDP_OPEN];
}

static __always_inline void account(struct flow *f, __u64 now, __u32 len, __u8 direction)
{
	__sync_fetch_and_add(&f->packets[direction & 1], 1);
	__sync_fetch_and_add(&f->bytes[direction & 1], len);
	f->seen = now;
}

/*
 * The flow of k by whichever of the pod's interfaces it goes, which k then has: the one
 * seen last, should there be two.
 */
static __always_inline struct flow *flow_of(const struct pod *p, struct flow_key *k)
{
	__u32 ifindex = p->links[0];
	struct flow *f, *last = 0;

	for (int i = 0; i < POD_LINKS && p->links[i]; i++) {
		k->ifindex = p->links[i];
		f = bpf_map_lookup_elem(&flows, k);
		if (f && (!last || (__s64)(f->seen - last->seen) >= 0)) {
			last = f;
			ifindex = k->ifindex;
		}
	}
	k->ifindex = ifindex;
	return last;
}

static __always_inline void total(__u8 verdict, __u8 direction, __u8 reason)
{
	count(&totals, (verdict * 2 + (direction & 1)) * REASONS + reason);
}

#endif
